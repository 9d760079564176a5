//! Reads the paths that a Rust source names (`crate::db::Pool`, `sqlx::query!`), with their lines. Comments and text
//! in quotes name nothing.

use std::{iter::Peekable, str::Chars};

/// A path of at least two segments, or a crate that `use` brings in whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// Counted from 1.
    pub line: usize,
    /// As written, groups spread out; a glob is `*`.
    pub segments: Vec<String>,
    /// The modules of the same file it stands in.
    pub inside: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Colons,
    Mark(char),
}

/// Every path of `source`, in order.
pub fn named(source: &str) -> Vec<Named> {
    let mut reader =
        Reader { tokens: tokens(source), at: 0, inside: Vec::new(), depth: 0, named: Vec::new() };
    reader.read();
    reader.named
}

struct Reader {
    tokens: Vec<(usize, Token)>,
    at: usize,
    /// Inline modules, each with the depth of braces that it opened.
    inside: Vec<(String, usize)>,
    depth: usize,
    named: Vec<Named>,
}

impl Reader {
    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|(_, token)| token)
    }

    fn is(&self, ahead: usize, mark: char) -> bool {
        self.token(ahead) == Some(&Token::Mark(mark))
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.token(ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn read(&mut self) {
        while let Some(token) = self.token(0).cloned() {
            match token {
                Token::Mark('{') => self.depth += 1,
                Token::Mark('}') => {
                    self.inside.pop_if(|(_, depth)| *depth == self.depth);
                    self.depth = self.depth.saturating_sub(1);
                }
                // A field or method is no path; what follows its name may be one.
                Token::Mark('.') if self.word(1).is_some() => self.at += 1,
                Token::Word(word) if word == "mod" && self.is(2, '{') => {
                    let name = self.word(1).unwrap_or_default().to_owned();
                    self.depth += 1;
                    self.inside.push((name, self.depth));
                    self.at += 2;
                }
                Token::Word(word) if word == "use" || (word == "crate" && self.word(1).is_some()) => {
                    self.at += 1;
                    self.tree(&[], true);
                    continue;
                }
                Token::Word(_) | Token::Colons => {
                    self.tree(&[], false);
                    continue;
                }
                Token::Mark(_) => {}
            }
            self.at += 1;
        }
    }

    /// One path, or what a group after `prefix` holds. `whole`: a single word counts, too.
    fn tree(&mut self, prefix: &[String], whole: bool) {
        let mut segments = prefix.to_vec();
        let line = self.tokens.get(self.at).map_or(0, |(line, _)| *line);
        if self.token(0) == Some(&Token::Colons) {
            self.at += 1;
        }
        loop {
            match self.token(0) {
                Some(Token::Word(word)) => segments.push(word.clone()),
                Some(Token::Mark('*')) if !segments.is_empty() => segments.push("*".to_owned()),
                Some(Token::Mark('{')) if whole || !segments.is_empty() => return self.group(&segments),
                _ => break,
            }
            self.at += 1;
            match self.token(0) {
                Some(Token::Colons) => self.at += 1,
                _ => break,
            }
        }
        if segments.len() > 1 || (whole && !segments.is_empty()) {
            let inside = self.inside.iter().map(|(name, _)| name.clone()).collect();
            self.named.push(Named { line, segments, inside });
        }
    }

    fn group(&mut self, prefix: &[String]) {
        self.at += 1;
        while let Some(token) = self.token(0) {
            match token {
                Token::Mark('}') => {
                    self.at += 1;
                    return;
                }
                Token::Mark(',') => self.at += 1,
                Token::Word(word) if word == "as" => self.at += 2,
                Token::Mark('{') | Token::Mark('*') | Token::Word(_) | Token::Colons => {
                    self.tree(prefix, true)
                }
                Token::Mark(_) => self.at += 1,
            }
        }
    }
}

fn tokens(source: &str) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => line += 1,
            '/' if chars.peek() == Some(&'/') => while chars.next_if(|&c| c != '\n').is_some() {},
            '/' if chars.peek() == Some(&'*') => line += skip_comment(&mut chars),
            '"' => line += skip_text(&mut chars),
            '\'' => line += skip_character(&mut chars),
            'r' | 'b' if raw_text_follows(c, &chars) => line += skip_raw(&mut chars),
            ':' if chars.next_if_eq(&':').is_some() => tokens.push((line, Token::Colons)),
            c if c.is_alphabetic() || c == '_' => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                    word.push(c);
                }
                tokens.push((line, Token::Word(word)));
            }
            c if c.is_whitespace() => {}
            c => tokens.push((line, Token::Mark(c))),
        }
    }
    tokens
}

/// Whether `first` begins a text without escapes: `r"`, `r#"`, `br"`.
fn raw_text_follows(first: char, chars: &Peekable<Chars>) -> bool {
    let mut ahead = chars.clone();
    let raw = first == 'r' || ahead.next_if_eq(&'r').is_some();
    while ahead.next_if_eq(&'#').is_some() {}
    raw && ahead.peek() == Some(&'"')
}

/// Skips a text without escapes after its first letter; it ends with as many `#` as it began. Returns its line ends.
fn skip_raw(chars: &mut Peekable<Chars>) -> usize {
    let mut hashes = 0;
    chars.next_if_eq(&'r');
    while chars.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    chars.next();
    let mut lines = 0;
    while let Some(c) = chars.next() {
        lines += usize::from(c == '\n');
        if c == '"' && (0..hashes).all(|_| chars.next_if_eq(&'#').is_some()) {
            break;
        }
    }
    lines
}

fn skip_text(chars: &mut Peekable<Chars>) -> usize {
    let mut lines = 0;
    while let Some(c) = chars.next() {
        match c {
            '\\' => lines += usize::from(chars.next() == Some('\n')),
            '"' => break,
            c => lines += usize::from(c == '\n'),
        }
    }
    lines
}

/// A character, or a lifetime: that one has no closing quote after its first letter.
fn skip_character(chars: &mut Peekable<Chars>) -> usize {
    match chars.next() {
        Some('\\') => {
            chars.next();
            while chars.next().is_some_and(|c| c != '\'') {}
        }
        Some(_) => {
            chars.next_if_eq(&'\'');
        }
        None => {}
    }
    0
}

fn skip_comment(chars: &mut Peekable<Chars>) -> usize {
    let (mut depth, mut lines) = (0, 0);
    let mut previous = '/';
    for c in chars.by_ref() {
        match (previous, c) {
            ('/', '*') => (depth, previous) = (depth + 1, ' '),
            ('*', '/') => (depth, previous) = (depth - 1, ' '),
            _ => previous = c,
        }
        lines += usize::from(c == '\n');
        if depth == 0 {
            break;
        }
    }
    lines
}

#[test]
fn paths_are_read_from_groups_expressions_attributes_and_macros() {
    let source = r##"
        use std::{fmt, collections::{BTreeMap as Map, *}};
        extern crate kube;
        #[derive(sqlx::FromRow)] // axum::Router
        struct A<'a> { s: &'a str, t: super::Time }
        /* reqwest::Client /* nested */ */
        fn f() { x.y::<tokio::time::Instant>("petgraph::Graph"); '"'; r#"clap::"Parser"#; ::axum::serve(b"\"") }
        mod tests { use super::super::db; }
        fn g() { let colon: u32 = crate::plan::N; }
    "##;
    let read: Vec<(usize, String)> =
        named(source).into_iter().map(|named| (named.line, named.segments.join("::"))).collect();
    let expected = [
        (2, "std::fmt"),
        (2, "std::collections::BTreeMap"),
        (2, "std::collections::*"),
        (3, "kube"),
        (4, "sqlx::FromRow"),
        (5, "super::Time"),
        (7, "tokio::time::Instant"),
        (7, "axum::serve"),
        (8, "super::super::db"),
        (9, "crate::plan::N"),
    ];
    assert_eq!(read, expected.map(|(line, path)| (line, path.to_owned())));
    assert!(named(source).iter().all(|named| named.inside.is_empty() == (named.line != 8)));
}
