//! The words of GRUB's shell: quoting, variables, comments, and what ends a command.

/// A part of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word.
    Word(Word),
    /// A newline or `;`.
    End,
}

/// A word, with its variables still in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    parts: Vec<Part>,
    is_quoted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

impl Word {
    /// The word with the variables' values, cut where it has more than `most` bytes.
    pub fn expand<'v>(&self, value: impl Fn(&str) -> &'v str, most: usize) -> String {
        let mut text = String::new();
        for part in &self.parts {
            let more = match part {
                Part::Text(more) => more.as_str(),
                Part::Variable(name) => value(name),
            };
            if text.len() + more.len() <= most {
                text += more;
            }
        }
        text
    }

    /// Whether it is written plainly, so that it may be a word of the shell's own.
    pub fn is_plain(&self) -> bool {
        !self.is_quoted && matches!(self.parts[..], [Part::Text(_)])
    }

    /// Whether it is nothing but a variable, without quotes.
    pub fn is_variable(&self) -> bool {
        !self.is_quoted && matches!(self.parts[..], [Part::Variable(_)])
    }

    fn push(&mut self, c: char) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push(c),
            _ => self.parts.push(Part::Text(c.into())),
        }
    }

    fn is_empty(&self) -> bool {
        self.parts.is_empty() && !self.is_quoted
    }
}

type Chars<'t> = std::iter::Peekable<std::str::Chars<'t>>;

/// Splits a text. Never fails: what is not closed ends with the text.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = Word::default();
    let mut chars = text.chars().peekable();
    let finish = |word: &mut Word, tokens: &mut Vec<Token>| {
        if !word.is_empty() {
            tokens.push(Token::Word(std::mem::take(word)));
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '\n' | ';' => {
                finish(&mut word, &mut tokens);
                tokens.push(Token::End);
            }
            c if c.is_whitespace() => finish(&mut word, &mut tokens),
            '#' if word.is_empty() => while chars.next_if(|c| *c != '\n').is_some() {},
            '\'' => {
                word.is_quoted = true;
                chars.by_ref().take_while(|c| *c != '\'').for_each(|c| word.push(c));
            }
            '"' => {
                word.is_quoted = true;
                double_quoted(&mut chars, &mut word);
            }
            '\\' => match chars.next() {
                None | Some('\n') => {}
                Some(c) => {
                    word.is_quoted = true;
                    word.push(c);
                }
            },
            '$' => variable(&mut chars, &mut word),
            c => word.push(c),
        }
    }
    finish(&mut word, &mut tokens);
    tokens
}

fn double_quoted(chars: &mut Chars<'_>, word: &mut Word) {
    while let Some(c) = chars.next() {
        match c {
            '"' => return,
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(c) => {
                    if !matches!(c, '"' | '\\' | '$') {
                        word.push('\\');
                    }
                    word.push(c);
                }
            },
            '$' => variable(chars, word),
            c => word.push(c),
        }
    }
}

/// What stands behind a `$`: a name, or one in braces.
fn variable(chars: &mut Chars<'_>, word: &mut Word) {
    let name: String = if chars.next_if_eq(&'{').is_some() {
        chars.by_ref().take_while(|c| *c != '}').collect()
    } else {
        let is_part = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        std::iter::from_fn(|| chars.next_if(is_part)).collect()
    };
    match name.is_empty() {
        true => word.push('$'),
        false => word.parts.push(Part::Variable(name)),
    }
}
