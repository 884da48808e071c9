//! Cuts a script into words, each with its line.

use std::fmt;

/// What a script is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// `--name`
    Option(String),
    /// Digits, decimal or `0x`.
    Integer(i64),
    /// Digits with a point: times.
    Float(f64),
    /// `192.0.2.1`
    Address(String),
    /// Letters, digits, underscores.
    Word(String),
    /// `"..."`
    Text(String),
    /// What a shell would run, between backquotes.
    Command(String),
    /// `...`
    Ellipsis,
    /// Any other character.
    Sign(char),
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Token::Option(name) => write!(f, "--{name}"),
            Token::Integer(number) => write!(f, "{number}"),
            Token::Float(number) => write!(f, "{number}"),
            Token::Address(text) | Token::Word(text) => f.write_str(text),
            Token::Text(text) => write!(f, "\"{text}\""),
            Token::Command(text) => write!(f, "`{text}`"),
            Token::Ellipsis => f.write_str("..."),
            Token::Sign(sign) => write!(f, "{sign}"),
        }
    }
}

/// What is wrong with a script, and where.
#[derive(Debug, PartialEq)]
pub struct ScriptError {
    /// Counted from 1.
    pub line: usize,
    /// A sentence.
    pub what: String,
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

/// The words of a script with their lines.
pub fn lex(text: &str) -> Result<Vec<(Token, usize)>, ScriptError> {
    let mut lexer = Lexer { text: text.as_bytes(), at: 0, line: 1 };
    let mut tokens = Vec::new();
    while lexer.skip_blanks()? {
        let line = lexer.line;
        tokens.push((lexer.token()?, line));
    }
    Ok(tokens)
}

impl Lexer<'_> {
    fn ahead(&self, i: usize) -> u8 {
        self.text.get(self.at + i).copied().unwrap_or(0)
    }

    fn error<T>(&self, what: String) -> Result<T, ScriptError> {
        Err(ScriptError { line: self.line, what })
    }

    /// Leaves blanks and comments behind; false at the end.
    fn skip_blanks(&mut self) -> Result<bool, ScriptError> {
        loop {
            match (self.ahead(0), self.ahead(1)) {
                (0, _) if self.at >= self.text.len() => return Ok(false),
                (b'/', b'/') => self.skip_to(b"\n")?,
                (b'/', b'*') => self.skip_to(b"*/")?,
                (b'\n', _) => {
                    self.line += 1;
                    self.at += 1;
                }
                (b' ' | b'\t', _) => self.at += 1,
                _ => return Ok(true),
            }
        }
    }

    fn skip_to(&mut self, end: &[u8]) -> Result<(), ScriptError> {
        while !self.text[self.at..].starts_with(end) {
            if self.at >= self.text.len() {
                return self.error("a comment does not end".into());
            }
            self.line += usize::from(self.text[self.at] == b'\n');
            self.at += 1;
        }
        self.line += usize::from(end == b"\n");
        self.at += end.len();
        Ok(())
    }

    /// Takes what a rule holds for.
    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        while wanted(self.ahead(0)) {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    fn token(&mut self) -> Result<Token, ScriptError> {
        let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        let (first, second) = (self.ahead(0), self.ahead(1));
        if self.text[self.at..].starts_with(b"...") {
            self.at += 3;
            return Ok(Token::Ellipsis);
        }
        if first == b'-' && second == b'-' && is_word(self.ahead(2)) {
            self.at += 2;
            return Ok(Token::Option(self.take(is_word)));
        }
        if first == b'"' {
            return self.quoted();
        }
        let negative = first == b'-' && (second.is_ascii_digit() || (second == b'.' && self.ahead(2).is_ascii_digit()));
        if first.is_ascii_digit() || negative || (first == b'.' && second.is_ascii_digit()) {
            return self.number();
        }
        if is_word(first) {
            return Ok(Token::Word(self.take(is_word)));
        }
        if first == b'`' {
            self.at += 1;
            let text = self.take(|c| c != b'`' && c != b'\n' && c != 0);
            if self.ahead(0) != b'`' {
                return self.error("a command does not end on its line".into());
            }
            self.at += 1;
            return Ok(Token::Command(text));
        }
        if first == b'%' && second == b'{' {
            return self.error("code is not part of our scripts".into());
        }
        self.at += 1;
        Ok(Token::Sign(char::from(first)))
    }

    fn quoted(&mut self) -> Result<Token, ScriptError> {
        self.at += 1;
        let text = self.take(|c| c != b'"' && c != b'\n' && c != 0);
        if self.ahead(0) != b'"' {
            return self.error("a string does not end on its line".into());
        }
        self.at += 1;
        Ok(Token::Text(text))
    }

    /// An integer, a time, or an address; a word where letters follow the digits.
    fn number(&mut self) -> Result<Token, ScriptError> {
        let start = self.at;
        self.at += usize::from(self.ahead(0) == b'-');
        self.take(|c| c.is_ascii_digit());
        let mut points = 0;
        while self.ahead(0) == b'.' && self.ahead(1).is_ascii_digit() {
            points += 1;
            self.at += 1;
            self.take(|c| c.is_ascii_digit());
        }
        if points == 0 {
            self.take(|c| c.is_ascii_alphanumeric() || c == b'_');
        }
        let text = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        let hexadecimal = text.strip_prefix("0x").map(|digits| i64::from_str_radix(digits, 16));
        match points {
            0 => match hexadecimal.unwrap_or_else(|| text.parse()) {
                Ok(number) => Ok(Token::Integer(number)),
                Err(_) if text.ends_with(|c: char| c.is_ascii_alphanumeric()) && !text.starts_with('-') => {
                    Ok(Token::Word(text))
                }
                Err(_) => self.error(format!("`{text}` is no number")),
            },
            1 => match text.parse() {
                Ok(number) => Ok(Token::Float(number)),
                Err(_) => self.error(format!("`{text}` is no number")),
            },
            _ => Ok(Token::Address(text)),
        }
    }
}
