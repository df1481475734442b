//! Tokens of GRUB's scripting language, by the rules of its grub-core/script/yylex.l.

/// A part of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word.
    Word(Word),
    /// The end of a line.
    Newline,
    /// `;`
    Semicolon,
    /// `{`
    OpenBrace,
    /// `}`
    CloseBrace,
    /// `|`, `&`, `<` or `>` outside quotes. GRUB's grammar has no use for them, also doubled.
    Operator(char),
}

/// A word, with its variables not yet expanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// What it is made of, in order.
    pub parts: Vec<Part>,
}

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its text or variable.
    pub content: Content,
    /// Whether it was in quotes or behind a backslash: then it is neither split nor a pattern.
    pub is_quoted: bool,
}

/// What a part of a word contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Literal text.
    Text(String),
    /// The name of a variable: also a digit, `@`, `*`, `#` or `?`.
    Variable(String),
}

impl Word {
    /// The text of a word without quotes and variables: only such a word can be a keyword.
    pub fn plain(&self) -> Option<&str> {
        match &self.parts[..] {
            [Part { content: Content::Text(text), is_quoted: false }] => Some(text),
            _ => None,
        }
    }

    /// Whether the variable of this name is in it.
    pub fn has_variable(&self, name: &str) -> bool {
        let is_it = |part: &Part| matches!(&part.content, Content::Variable(own) if own == name);
        self.parts.iter().any(is_it)
    }

    fn push(&mut self, c: char, is_quoted: bool) {
        match self.parts.last_mut() {
            Some(Part { content: Content::Text(text), is_quoted: quoted })
                if *quoted == is_quoted =>
            {
                text.push(c);
            }
            _ => self.parts.push(Part { content: Content::Text(c.into()), is_quoted }),
        }
    }

    /// Quotes make a word even if nothing is between them.
    fn begin_quotes(&mut self) {
        self.parts.push(Part { content: Content::Text(String::new()), is_quoted: true });
    }
}

type Chars<'t> = std::iter::Peekable<std::str::Chars<'t>>;

/// Splits a text. Never fails: an open quote is closed by the end of the text.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = Word::default();
    // GRUB drops carriage returns when it reads a line.
    let text = text.replace('\r', "");
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let separator = match c {
            '\n' => Some(Some(Token::Newline)),
            ';' => Some(Some(Token::Semicolon)),
            '{' => Some(Some(Token::OpenBrace)),
            '}' => Some(Some(Token::CloseBrace)),
            '|' | '&' | '<' | '>' => Some(Some(Token::Operator(c))),
            ' ' | '\t' => Some(None),
            _ => None,
        };
        if let Some(token) = separator {
            if !word.parts.is_empty() {
                tokens.push(Token::Word(std::mem::take(&mut word)));
            }
            tokens.extend(token);
            continue;
        }
        match c {
            '#' if word.parts.is_empty() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\'' => {
                word.begin_quotes();
                chars.by_ref().take_while(|c| *c != '\'').for_each(|c| word.push(c, true));
            }
            '"' => double_quoted(&mut chars, &mut word),
            // `\xHH` stays, as in the GRUB of Fedora and RHEL: their media have spaces of labels
            // so.
            '\\' if is_hexadecimal(&chars) => word.push('\\', true),
            '\\' => match chars.next() {
                None | Some('\n') => {}
                Some(c) => word.push(c, true),
            },
            '$' => variable(&mut chars, &mut word, false),
            c => word.push(c, false),
        }
    }
    if !word.parts.is_empty() {
        tokens.push(Token::Word(word));
    }
    tokens
}

/// Whether the next characters are an `x` and two hexadecimal digits.
fn is_hexadecimal(chars: &Chars<'_>) -> bool {
    let mut next = chars.clone();
    next.next() == Some('x') && next.by_ref().take(2).filter(char::is_ascii_hexdigit).count() == 2
}

fn double_quoted(chars: &mut Chars<'_>, word: &mut Word) {
    word.begin_quotes();
    while let Some(c) = chars.next() {
        match c {
            '"' => return,
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(c) => {
                    if !matches!(c, '"' | '\\' | '$') {
                        word.push('\\', true);
                    }
                    word.push(c, true);
                }
            },
            '$' => variable(chars, word, true),
            c => word.push(c, true),
        }
    }
}

/// Reads what follows a `$`: a name, digits or a special character, perhaps in braces. `$"…"` is a
/// translatable string, whose text follows like that of any other.
fn variable(chars: &mut Chars<'_>, word: &mut Word, is_quoted: bool) {
    let name: String = match chars.peek() {
        Some('{') => {
            chars.next();
            chars.by_ref().take_while(|c| !matches!(c, '}' | '\n')).collect()
        }
        Some('?' | '#' | '*' | '@') => chars.next().into_iter().collect(),
        Some(c) if c.is_ascii_digit() => {
            std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect()
        }
        _ => {
            let is_part = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
            std::iter::from_fn(|| chars.next_if(is_part)).collect()
        }
    };
    match name.is_empty() {
        true if chars.peek() == Some(&'"') && !is_quoted => {}
        true => word.push('$', is_quoted),
        false => word.parts.push(Part { content: Content::Variable(name), is_quoted }),
    }
}
