//! How a script is read: see `language` for what it may say.
//!
//! Left out, with an error that names the line: shell commands but `sysctl`, code, encapsulation, AccECN, control messages.

use crate::language::*;
use crate::lexer::{ScriptError, Token, lex};

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
}

type Parsed<T> = Result<T, ScriptError>;

/// Reads a script.
pub fn parse(text: &str) -> Parsed<Script> {
    let mut parser = Parser { tokens: lex(text)?, at: 0 };
    let mut script = Script { options: Vec::new(), events: Vec::new() };
    while let Some(Token::Option(name)) = parser.peek().cloned() {
        parser.at += 1;
        let value = match parser.take_sign('=') {
            true => parser.option_value()?,
            false => String::new(),
        };
        script.options.push((name, value));
    }
    while parser.peek().is_some() {
        script.events.push(parser.event()?);
    }
    match script.events.is_empty() {
        true => parser.error("a script has at least one event".into()),
        false => Ok(script),
    }
}

fn micros(seconds: f64) -> i64 {
    (seconds * 1.0e6).round() as i64
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn peek_at(&self, i: usize) -> Option<&Token> {
        self.tokens.get(self.at + i).map(|(token, _)| token)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(_, line)| *line)
    }

    fn error<T>(&self, what: String) -> Parsed<T> {
        Err(ScriptError { line: self.line(), what })
    }

    fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        match self.peek() {
            Some(token) => self.error(format!("`{token}` stands where {wanted} should")),
            None => self.error(format!("the script ends where {wanted} should stand")),
        }
    }

    fn next(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).map(|(token, _)| token.clone())
    }

    fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    fn take_sign(&mut self, sign: char) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: char) -> Parsed<()> {
        match self.take_sign(sign) {
            true => Ok(()),
            false => self.unexpected(&format!("`{sign}`")),
        }
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word == wanted);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, what: &str) -> Parsed<String> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.at += 1;
                Ok(word)
            }
            _ => self.unexpected(what),
        }
    }

    fn number<T: TryFrom<i64>>(&mut self, what: &str) -> Parsed<T> {
        let Some(Token::Integer(number)) = self.peek() else { return self.unexpected(what) };
        let number = *number;
        match T::try_from(number) {
            Ok(value) => {
                self.at += 1;
                Ok(value)
            }
            Err(_) => self.error(format!("{number} is out of range for {what}")),
        }
    }

    fn option_value(&mut self) -> Parsed<String> {
        let mut value = match self.next() {
            Some(Token::Text(text)) => text,
            Some(token @ (Token::Integer(_) | Token::Word(_) | Token::Address(_))) => token.to_string(),
            _ => {
                self.at -= 1;
                return self.unexpected("the value of an option");
            }
        };
        if self.take_sign('=') {
            value = format!("{value}={}", self.option_value()?);
        }
        Ok(value)
    }

    fn seconds(&mut self) -> Parsed<i64> {
        let time = match self.peek() {
            Some(Token::Float(seconds)) => micros(*seconds),
            Some(Token::Integer(seconds)) => *seconds * 1_000_000,
            _ => return self.unexpected("a time"),
        };
        if time < 0 {
            return self.error("a time cannot be negative".into());
        }
        self.at += 1;
        Ok(time)
    }

    fn when(&mut self) -> Parsed<When> {
        if self.take_sign('*') {
            return Ok(When::Any);
        }
        let relative = self.take_sign('+');
        let from = self.seconds()?;
        if !self.take_sign('~') {
            return Ok(if relative { When::After(from) } else { When::At(from) });
        }
        if relative {
            self.sign('+')?;
        }
        let to = self.seconds()?;
        if to < from {
            return self.error("the range of times is backwards".into());
        }
        Ok(if relative { When::AfterBetween(from, to) } else { When::Between(from, to) })
    }

    fn event(&mut self) -> Parsed<Event> {
        let line = self.line();
        let time = self.when()?;
        let action = match self.peek() {
            Some(Token::Sign('<')) => {
                self.at += 1;
                Action::Inject(self.packet(true)?)
            }
            Some(Token::Sign('>')) => {
                self.at += 1;
                Action::Expect(self.packet(false)?)
            }
            Some(Token::Ellipsis | Token::Word(_)) => Action::Call(self.call()?),
            Some(Token::Command(_)) => Action::Sysctl(self.sysctl()?),
            _ => return self.unexpected("a packet or a call"),
        };
        if !matches!(time, When::At(_) | When::After(_)) && !matches!(action, Action::Expect(_)) {
            return Err(ScriptError { line, what: "only packets that leave may have `*` or a range of times".into() });
        }
        Ok(Event { line, time, action })
    }

    /// `sysctl -q NAME=VALUE ...`, the only command.
    fn sysctl(&mut self) -> Parsed<Vec<(String, String)>> {
        let text = match self.next() {
            Some(Token::Command(text)) => text,
            _ => String::new(),
        };
        let pair = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = text.strip_prefix("sysctl -q ").map(|words| words.split_whitespace().map(pair).collect());
        settings
            .flatten()
            .map_or_else(|| self.error("of shell commands there is `sysctl -q NAME=VALUE ...` alone".into()), Ok)
    }

    /// In hexadecimal; nothing is the request.
    fn cookie(&mut self) -> Parsed<Vec<u8>> {
        let digits = match self.peek().cloned() {
            Some(Token::Word(word)) => word,
            // Its zeros are lost.
            Some(Token::Integer(_)) => return self.error("a cookie needs a letter among its digits".into()),
            _ => return Ok(Vec::new()),
        };
        self.at += 1;
        let octet = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let octets: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(octet).collect();
        octets.map_or_else(|| self.error(format!("`{digits}` is no cookie")), Ok)
    }

    fn packet(&mut self, inbound: bool) -> Parsed<Packet> {
        let (tos, ttl) = self.ip_info()?;
        if inbound && tos == Tos::Ect01 {
            return self.error("[ect01] is for packets that leave".into());
        }
        let body = if self.take_word("udp") {
            self.sign('(')?;
            let octets: u16 = self.number("the length of a datagram")?;
            self.sign(')')?;
            Body::Udp(octets.into())
        } else if self.take_word("icmp") {
            self.icmp()?
        } else {
            Body::Tcp(self.segment(inbound)?)
        };
        Ok(Packet { tos, ttl, body })
    }

    fn ip_info(&mut self) -> Parsed<(Tos, Option<u8>)> {
        let end = match self.peek() {
            Some(Token::Sign('[')) => ']',
            Some(Token::Sign('(')) => ')',
            _ => return Ok((Tos::Any, None)),
        };
        self.at += 1;
        let found = match self.word("ECN, tos or ttl")?.as_str() {
            "noecn" => (Tos::Ecn(0), None),
            "ect1" => (Tos::Ecn(1), None),
            "ect0" => (Tos::Ecn(2), None),
            "ce" => (Tos::Ecn(3), None),
            "ect01" => (Tos::Ect01, None),
            "tos" => (Tos::Octet(self.number("the TOS")?), None),
            "ttl" => (Tos::Any, Some(self.number("the TTL")?)),
            other => {
                return self
                    .error(format!("`{other}` says nothing of an IP header: noecn, ect0, ect1, ce, ect01, tos, ttl"));
            }
        };
        self.sign(end)?;
        Ok(found)
    }

    fn icmp(&mut self) -> Parsed<Body> {
        let kind = self.word("the type of an ICMP message")?;
        let code = match self.peek() {
            Some(Token::Word(word)) if word != "mtu" => Some(self.word("a code")?),
            _ => None,
        };
        let mtu = match self.take_word("mtu") {
            true => Some(self.number("an MTU")?),
            false => None,
        };
        let mut quoted = Quoted::Tcp(0, 0);
        if self.take_sign('[') {
            quoted = if self.take_word("udp") {
                self.sign('(')?;
                let octets: u16 = self.number("the length of a datagram")?;
                self.sign(')')?;
                Quoted::Udp(octets.into())
            } else {
                let (seq, payload) = self.sequence()?;
                Quoted::Tcp(seq, payload)
            };
            self.sign(']')?;
        }
        Ok(Body::Icmp { kind, code, mtu, quoted })
    }

    fn sequence(&mut self) -> Parsed<(u32, usize)> {
        let seq: u32 = self.number("a sequence number")?;
        self.sign(':')?;
        let end: u32 = self.number("a sequence number")?;
        self.sign('(')?;
        let payload: u16 = self.number("the length of a segment")?;
        if seq.wrapping_add(payload.into()) != end {
            return self.error(format!("{seq}:{end} are not {payload} octets"));
        }
        self.sign(')')?;
        Ok((seq, payload.into()))
    }

    fn segment(&mut self, inbound: bool) -> Parsed<Segment> {
        let mut segment = Segment { flags: self.flags()?, options: Some(Vec::new()), ..Segment::default() };
        (segment.seq, segment.payload) = self.sequence()?;
        if self.take_word("ack") {
            segment.ack = self.number("an acknowledgment number")?;
        }
        if self.take_word("win") {
            segment.window = Some(self.number("a window")?);
        } else if inbound {
            return self.error("a segment that comes needs its window: `win N`".into());
        }
        if self.take_word("urg") {
            segment.urgent = self.number("an urgent pointer")?;
        }
        if self.take_sign('<') {
            segment.options = self.tcp_options(inbound)?;
            self.sign('>')?;
        }
        Ok(segment)
    }

    fn flags(&mut self) -> Parsed<String> {
        if self.take_sign('-') {
            return Ok(String::new());
        }
        let mut flags = String::new();
        if let Some(Token::Word(word)) = self.peek() {
            flags.push_str(word);
            self.at += 1;
        }
        if self.take_sign('.') {
            flags.push('.');
        }
        if let Some(wrong) = flags.chars().find(|flag| !"FSRP.UEWA".contains(*flag)) {
            self.at -= 1;
            return self.error(format!("`{wrong}` is no TCP flag: FSRP.UEWA"));
        }
        if flags.is_empty() { self.unexpected("the flags of a segment") } else { Ok(flags) }
    }

    fn tcp_options(&mut self, inbound: bool) -> Parsed<Option<Vec<TcpOption>>> {
        if self.peek() == Some(&Token::Ellipsis) {
            self.at += 1;
            return if inbound { self.error("<...> is for packets that leave".into()) } else { Ok(None) };
        }
        let mut options = Vec::new();
        loop {
            let option = match self.word("a TCP option")?.as_str() {
                "nop" => TcpOption::Nop,
                "eol" => TcpOption::End,
                "mss" => TcpOption::Mss(self.number("an MSS")?),
                "wscale" => TcpOption::WindowScale(self.number("a shift count")?),
                "sackOK" => TcpOption::SackOk,
                "sack" => TcpOption::Sack(self.sack_blocks()?),
                kind @ ("FO" | "FOEXP") => TcpOption::Cookie { octets: self.cookie()?, experimental: kind == "FOEXP" },
                "TS" => {
                    if !self.take_word("val") {
                        return self.unexpected("`val`");
                    }
                    let val = self.number("a timestamp")?;
                    if !self.take_word("ecr") {
                        return self.unexpected("`ecr`");
                    }
                    TcpOption::Timestamps { val, ecr: self.number("a timestamp")? }
                }
                other => return self.error(format!("the TCP option `{other}` is not part of our scripts")),
            };
            options.push(option);
            if !self.take_sign(',') {
                return match crate::wire::option_bytes(&options).len() {
                    length if length % 4 != 0 => self.error(format!("{length} octets of options: pad them to 4")),
                    length if length > 40 => self.error(format!("{length} octets of options are more than 40")),
                    _ => Ok(Some(options)),
                };
            }
        }
    }

    fn sack_blocks(&mut self) -> Parsed<Vec<(u32, u32)>> {
        let mut blocks = Vec::new();
        while matches!(self.peek(), Some(Token::Integer(_))) {
            let left = self.number("the left edge of a block")?;
            self.sign(':')?;
            blocks.push((left, self.number("the right edge of a block")?));
        }
        if blocks.is_empty() { self.unexpected("a SACK block") } else { Ok(blocks) }
    }

    fn call(&mut self) -> Parsed<Call> {
        let end = match self.peek() {
            Some(Token::Ellipsis) => {
                self.at += 1;
                Some(self.seconds()?)
            }
            _ => None,
        };
        let name = self.word("the name of a call")?;
        self.sign('(')?;
        let arguments = self.expressions(')')?;
        self.sign('=')?;
        let result = self.expression()?;
        let mut errno = None;
        if let (Some(Token::Word(word)), Some(Token::Sign('('))) = (self.peek().cloned(), self.peek_at(1)) {
            errno = Some(word);
            self.at += 1;
        }
        if self.take_sign('(') {
            while let Some(Token::Word(_)) = self.peek() {
                self.at += 1;
            }
            self.sign(')')?;
        }
        Ok(Call { end, name, arguments, result, errno })
    }

    fn expressions(&mut self, end: char) -> Parsed<Vec<Expression>> {
        let mut expressions = Vec::new();
        while !self.take_sign(end) {
            if !expressions.is_empty() {
                self.sign(',')?;
            }
            expressions.push(self.expression()?);
        }
        Ok(expressions)
    }

    fn expression(&mut self) -> Parsed<Expression> {
        let expression = match self.peek().cloned() {
            Some(Token::Ellipsis) => Expression::Ellipsis,
            Some(Token::Integer(number)) => Expression::Integer(number),
            Some(Token::Word(word)) => Expression::Word(word),
            Some(Token::Text(text)) => Expression::Text(text),
            Some(Token::Sign('[')) => {
                self.at += 1;
                return Ok(Expression::List(self.expressions(']')?));
            }
            Some(Token::Sign('{')) => {
                self.at += 1;
                return self.fields();
            }
            _ => return self.unexpected("a value"),
        };
        self.at += 1;
        match self.take_sign('|') {
            true => Ok(Expression::Or(Box::new(expression), Box::new(self.expression()?))),
            false => Ok(expression),
        }
    }

    fn fields(&mut self) -> Parsed<Expression> {
        let mut fields = Vec::new();
        while !self.take_sign('}') {
            if !fields.is_empty() {
                self.sign(',')?;
            }
            let name = self.word("the name of a field")?;
            self.sign('=')?;
            fields.push((name, self.expression()?));
        }
        Ok(Expression::Fields(fields))
    }
}
