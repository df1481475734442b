//! The syntax tree of a GRUB script, by the grammar of its grub-core/script/parser.y.
//!
//! The grammar has neither `case` nor `&&` and `||`. As in GRUB, a statement with a syntax error is
//! dropped, and reading goes on with the next line.

use std::rc::Rc;

use super::lexer::{Token, Word};

/// How deep statements can be nested.
const DEPTH: usize = 32;

/// Commands in their order.
pub(super) type Script = Rc<[Command]>;

/// A command.
#[derive(Debug)]
pub(super) enum Command {
    /// A command line, perhaps with a `{ … }` block behind it.
    Simple { words: Vec<Word>, block: Option<Script> },
    /// `if` and `elif` with their conditions, and `else`.
    If { branches: Vec<(Script, Script)>, otherwise: Option<Script> },
    /// `for NAME in WORDS`.
    For { name: String, words: Vec<Word>, body: Script },
    /// `while`, or `until`, which repeats as long as the condition fails.
    While { is_until: bool, condition: Script, body: Script },
    /// `function NAME { … }`.
    Function { name: String, body: Script },
}

/// A script, and what in it could not be read.
#[derive(Debug)]
pub(super) struct Parsed {
    /// Its commands.
    pub script: Script,
    /// The numbers of the lines with syntax errors, from 1.
    pub bad_lines: Vec<usize>,
}

/// Parses a script.
pub(super) fn parse(tokens: &[Token]) -> Parsed {
    let mut parser = Parser { tokens, at: 0 };
    let (mut commands, mut bad_lines) = (Vec::new(), Vec::new());
    let (mut line, mut counted) = (1, 0);
    loop {
        parser.skip_separators();
        if parser.peek().is_none() {
            return Parsed { script: commands.into(), bad_lines };
        }
        match parser.statement(0).and_then(|command| parser.separator().map(|()| command)) {
            Ok(command) => commands.push(command),
            Err(SyntaxError) => {
                let passed = tokens.get(counted..parser.at).unwrap_or_default();
                line += passed.iter().filter(|token| **token == Token::Newline).count();
                counted = parser.at;
                bad_lines.push(line);
                parser.skip_line();
            }
        }
    }
}

/// A statement that the grammar does not have.
struct SyntaxError;

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// The keyword or plain word that is next.
    fn peek_plain(&self) -> Option<&str> {
        match self.peek() {
            Some(Token::Word(word)) => word.plain(),
            _ => None,
        }
    }

    fn skip_separators(&mut self) {
        while matches!(self.peek(), Some(Token::Newline | Token::Semicolon)) {
            self.at += 1;
        }
    }

    fn skip_newlines(&mut self) {
        while self.peek() == Some(&Token::Newline) {
            self.at += 1;
        }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|token| *token != Token::Newline) {
            self.at += 1;
        }
    }

    /// The end of a command; the end of the text is one too.
    fn separator(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            None => Ok(()),
            Some(Token::Newline | Token::Semicolon) => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(SyntaxError),
        }
    }

    fn keyword(&mut self, expected: &str) -> Result<(), SyntaxError> {
        if self.peek_plain() != Some(expected) {
            return Err(SyntaxError);
        }
        self.at += 1;
        Ok(())
    }

    fn brace(&mut self, expected: &Token) -> Result<(), SyntaxError> {
        if self.peek() != Some(expected) {
            return Err(SyntaxError);
        }
        self.at += 1;
        Ok(())
    }

    fn name(&mut self) -> Result<String, SyntaxError> {
        let name = self.peek_plain().filter(|name| {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        let name = name.ok_or(SyntaxError)?.to_owned();
        self.at += 1;
        Ok(name)
    }

    fn statement(&mut self, depth: usize) -> Result<Command, SyntaxError> {
        const RESERVED: [&str; 10] =
            ["case", "do", "done", "elif", "else", "esac", "fi", "in", "select", "then"];
        if depth > DEPTH {
            return Err(SyntaxError);
        }
        match self.peek_plain() {
            Some("if") => self.if_statement(depth),
            Some("for") => self.for_statement(depth),
            Some("while" | "until") => self.while_statement(depth),
            Some("function") => {
                self.at += 1;
                let name = self.name()?;
                self.skip_newlines();
                Ok(Command::Function { name, body: self.block(depth)? })
            }
            Some(word) if RESERVED.contains(&word) => Err(SyntaxError),
            _ => {
                let words = self.words();
                if words.is_empty() {
                    return Err(SyntaxError);
                }
                let has_block = self.peek() == Some(&Token::OpenBrace);
                let block = has_block.then(|| self.block(depth)).transpose()?;
                Ok(Command::Simple { words, block })
            }
        }
    }

    fn words(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        while let Some(Token::Word(word)) = self.peek() {
            words.push(word.clone());
            self.at += 1;
        }
        words
    }

    fn block(&mut self, depth: usize) -> Result<Script, SyntaxError> {
        self.brace(&Token::OpenBrace)?;
        let script =
            self.commands(depth + 1, |parser| parser.peek() == Some(&Token::CloseBrace))?;
        self.brace(&Token::CloseBrace)?;
        Ok(script)
    }

    /// One or more commands, up to what ends them.
    fn commands(
        &mut self,
        depth: usize,
        is_end: impl Fn(&Self) -> bool,
    ) -> Result<Script, SyntaxError> {
        let mut commands = Vec::new();
        self.skip_newlines();
        loop {
            commands.push(self.statement(depth)?);
            if is_end(self) {
                return Ok(commands.into());
            }
            if self.peek().is_none() {
                return Err(SyntaxError);
            }
            self.separator()?;
            self.skip_newlines();
            if is_end(self) {
                return Ok(commands.into());
            }
        }
    }

    /// Commands up to one of these keywords.
    fn commands_until(&mut self, depth: usize, ends: &[&str]) -> Result<Script, SyntaxError> {
        self.commands(depth + 1, |parser| {
            parser.peek_plain().is_some_and(|word| ends.contains(&word))
        })
    }

    fn if_statement(&mut self, depth: usize) -> Result<Command, SyntaxError> {
        let mut branches = Vec::new();
        loop {
            // "if" or "elif"
            self.at += 1;
            let condition = self.commands_until(depth, &["then"])?;
            self.keyword("then")?;
            let body = self.commands_until(depth, &["elif", "else", "fi"])?;
            branches.push((condition, body));
            if self.peek_plain() != Some("elif") {
                break;
            }
        }
        let mut otherwise = None;
        if self.peek_plain() == Some("else") {
            self.at += 1;
            otherwise = Some(self.commands_until(depth, &["fi"])?);
        }
        self.keyword("fi")?;
        Ok(Command::If { branches, otherwise })
    }

    fn for_statement(&mut self, depth: usize) -> Result<Command, SyntaxError> {
        self.at += 1;
        let name = self.name()?;
        self.keyword("in")?;
        let words = self.words();
        Ok(Command::For { name, words, body: self.loop_body(depth)? })
    }

    fn while_statement(&mut self, depth: usize) -> Result<Command, SyntaxError> {
        let is_until = self.peek_plain() == Some("until");
        self.at += 1;
        let condition = self.commands_until(depth, &["do"])?;
        Ok(Command::While { is_until, condition, body: self.loop_body(depth)? })
    }

    fn loop_body(&mut self, depth: usize) -> Result<Script, SyntaxError> {
        self.skip_separators();
        self.keyword("do")?;
        let body = self.commands_until(depth, &["done"])?;
        self.keyword("done")?;
        Ok(body)
    }
}
