//! The limit language of BOS: which of a boot set's components a session is for.
//!
//! `group1,&Compute,!x1000c0s0b0n0` is read from left to right, beginning with nobody: a plain item adds, `&` keeps only
//! what is also in the item, `!` takes out. `all` and `*` are the boot set's own components. Ours has more words than
//! BOS's (ranges, parents, `@group`, NIDs): see `plan::members`, which says what words stand for.

use std::collections::BTreeSet;

use super::xname::{self, pattern};

/// A limit, parsed. The empty limit means everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    items: Vec<Item>,
}

/// Whose reading of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Ours: what can only be a mistake is one.
    Bosun,
    /// BOS's, for `/v2`: what selects nothing selects nothing.
    Bos,
}

/// A limit that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limit, column {column}: {message}")]
pub struct LimitError {
    /// Where, in characters, counted from 1.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// A word of a limit and where it stands, for those who look words up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    /// Where, in characters, counted from 1.
    pub column: usize,
    /// The word, without its sign.
    pub text: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    column: usize,
    sign: Sign,
    whom: Whom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Add,
    Keep,
    TakeOut,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Whom {
    All,
    Word { written: String, canonical: String },
}

impl Limit {
    /// Reads a limit.
    ///
    /// # Errors
    /// An empty item, in both dialects; in ours also a first item that can only select nothing.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, LimitError> {
        let mut items = Vec::new();
        if text.is_empty() {
            return Ok(Self { items });
        }
        let mut column = 1;
        let written: Vec<&str> = match dialect {
            Dialect::Bosun => pattern::split_list(text).collect(),
            Dialect::Bos => text.split(',').collect(),
        };
        for written in written {
            let item = Item::parse(written, column, dialect)?;
            if dialect == Dialect::Bosun && items.is_empty() && item.sign != Sign::Add {
                let word = written.trim();
                return Err(LimitError {
                    column: item.column,
                    message: format!("'{word}' at the beginning selects nothing; write 'all,{word}'"),
                });
            }
            items.push(item);
            column += written.chars().count() + 1;
        }
        Ok(Self { items })
    }

    /// Whether it means everybody.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Every word but `all` and `*`, as written.
    pub fn words(&self) -> impl Iterator<Item = Word<'_>> {
        self.items.iter().filter_map(|item| match &item.whom {
            Whom::All => None,
            Whom::Word { written, .. } => Some(Word { column: item.column, text: written }),
        })
    }

    /// Which of `all` it selects. `members` knows what a group, partition or role name stands for; any other word
    /// stands for the component of that name.
    pub fn select<'a>(
        &'a self,
        all: &BTreeSet<&'a str>,
        members: impl Fn(&str) -> Option<&'a BTreeSet<String>>,
    ) -> BTreeSet<&'a str> {
        if self.items.is_empty() {
            return all.clone();
        }
        let mut selected: BTreeSet<&str> = BTreeSet::new();
        for item in &self.items {
            let named = match &item.whom {
                Whom::All => Named::All,
                Whom::Word { written, canonical } => {
                    members(written).map_or(Named::One(canonical), Named::Several)
                }
            };
            let is_named = |id: &str| match named {
                Named::All => all.contains(id),
                Named::Several(set) => set.contains(id),
                Named::One(one) => one == id,
            };
            match (item.sign, &named) {
                (Sign::Keep, _) => selected.retain(|id| is_named(id)),
                (Sign::TakeOut, Named::One(one)) => drop(selected.remove(*one)),
                (Sign::TakeOut, _) => selected.retain(|id| !is_named(id)),
                (Sign::Add, Named::One(one)) => selected.extend(all.get(*one)),
                (Sign::Add, _) => selected.extend(all.iter().filter(|id| is_named(id))),
            }
        }
        selected
    }
}

enum Named<'a> {
    All,
    Several(&'a BTreeSet<String>),
    One(&'a str),
}

impl Item {
    fn parse(written: &str, column: usize, dialect: Dialect) -> Result<Self, LimitError> {
        let trimmed = written.trim_start();
        let column = column + written.chars().count() - trimmed.chars().count();
        let item = trimmed.trim_end();
        let (sign, word) = match item.chars().next() {
            Some('&') => (Sign::Keep, &item[1..]),
            Some('!') => (Sign::TakeOut, &item[1..]),
            _ => (Sign::Add, item),
        };
        let wrong = |message: String| Err(LimitError { column, message });
        if word.is_empty() {
            return wrong(match item {
                "" => "an item is empty; take out one comma".to_owned(),
                sign => format!("nothing follows '{sign}'"),
            });
        }
        if dialect == Dialect::Bosun && word.starts_with(['&', '!']) {
            return wrong(format!("'{item}' has two signs; write one"));
        }
        let whom = match word {
            "all" | "*" => Whom::All,
            _ => Whom::Word { written: word.to_owned(), canonical: xname::canonical(word) },
        };
        Ok(Self { column, sign, whom })
    }
}

/// Whether a word is a node's number instead of its name: `nid000001`.
pub fn looks_like_nid(word: &str) -> bool {
    let lower = word.to_lowercase();
    lower.strip_prefix("nid").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == '['))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Selects among n0…n5 with the groups `low` (n0–n2) and `even`.
    fn select(limit: &str, dialect: Dialect) -> Result<String, LimitError> {
        let ids = ["n0", "n1", "n2", "n3", "n4", "n5"];
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        let groups =
            BTreeMap::from([("low", set(&ids[..3])), ("even", set(&["n0", "n2", "n4", "elsewhere"]))]);
        let limit = Limit::parse(limit, dialect)?;
        let all = BTreeSet::from(ids);
        let selected = limit.select(&all, |name| groups.get(name));
        Ok(selected.into_iter().collect::<Vec<_>>().join(" "))
    }

    fn ours(limit: &str) -> String {
        select(limit, Dialect::Bosun).unwrap()
    }

    fn refused(limit: &str) -> String {
        select(limit, Dialect::Bosun).unwrap_err().to_string()
    }

    #[test]
    fn reads_from_left_to_right() {
        assert_eq!(ours(""), "n0 n1 n2 n3 n4 n5");
        assert_eq!(ours("*"), "n0 n1 n2 n3 n4 n5");
        assert_eq!(ours("low,&even"), "n0 n2");
        assert_eq!(ours("even,!n4,n5"), "n0 n2 n5");
        assert_eq!(ours("all,!low"), "n3 n4 n5");
        assert_eq!(ours("n1,!n1,n2"), "n2");
        assert_eq!(ours("low,&n1"), "n1");
        assert_eq!(ours("N1, n2"), "n1 n2");
        assert_eq!(ours("n99"), "");
    }

    #[test]
    fn refuses_what_can_only_be_a_mistake() {
        assert_eq!(refused("n1,,n2"), "limit, column 4: an item is empty; take out one comma");
        assert_eq!(refused("n1,"), "limit, column 4: an item is empty; take out one comma");
        assert_eq!(
            refused("!n1"),
            "limit, column 1: '!n1' at the beginning selects nothing; write 'all,!n1'"
        );
        assert_eq!(
            refused("&low"),
            "limit, column 1: '&low' at the beginning selects nothing; write 'all,&low'"
        );
        assert_eq!(refused("n1,!"), "limit, column 4: nothing follows '!'");
        assert_eq!(refused("n1, !!n2"), "limit, column 5: '!!n2' has two signs; write one");
        assert_eq!(refused("x1c0s[1,3]b0n0,,n1"), "limit, column 16: an item is empty; take out one comma");
    }

    #[test]
    fn reads_as_bos_does_for_its_clients() {
        let bos = |limit| select(limit, Dialect::Bos).unwrap();
        assert_eq!(bos("!n1"), "");
        assert_eq!(bos("&low"), "");
        assert_eq!(bos("nid000001"), "");
        assert!(select("n1,", Dialect::Bos).is_err());
    }

    #[test]
    fn tells_where_its_words_stand() {
        let limit = Limit::parse("all,&low, !n1", Dialect::Bosun).unwrap();
        let words: Vec<_> = limit.words().map(|word| (word.column, word.text)).collect();
        assert_eq!(words, [(5, "low"), (11, "n1")]);
    }
}
