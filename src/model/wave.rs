//! Waves: who is begun with first, who after them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Most waves of a session: a plan has its steps once per boot set and wave.
pub const WAVES_MAX: usize = 100;

/// How many components the waves of a session have, one after the other: `1,10,100,rest`, or `10%`. Where the last one is
/// not `rest`, there are as many more like it as it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Waves(Vec<WaveSize>);

/// How many components a wave has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaveSize {
    /// So many.
    Count(u32),
    /// This share of all (per cent, 1 to 100), rounded up.
    Percent(u8),
    /// Everybody who is left; the last one.
    Rest,
}

/// A text that says no waves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' are no waves: numbers of nodes or shares of them, as in 1,10,100,rest or 10%")]
pub struct InvalidWaves(pub String);

impl Waves {
    /// How many components each wave has, first to last; their sum is `members`. None has nobody.
    pub fn sizes(&self, members: usize) -> Vec<usize> {
        let mut left = members;
        let mut sizes = Vec::new();
        let listed = self.0.iter().chain(std::iter::repeat(self.0.last().unwrap_or(&WaveSize::Rest)));
        for wave in listed {
            if left == 0 {
                break;
            }
            let wanted = match wave {
                WaveSize::Count(count) => *count as usize,
                WaveSize::Percent(percent) => (members * usize::from(*percent)).div_ceil(100),
                WaveSize::Rest => left,
            };
            let size = wanted.clamp(1, left);
            left -= size;
            sizes.push(size);
        }
        sizes
    }
}

impl FromStr for Waves {
    type Err = InvalidWaves;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidWaves(text.to_owned());
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        let last = words.len() - 1;
        let size = |(place, word): (usize, &&str)| match *word {
            "rest" if place == last => Some(WaveSize::Rest),
            word => match word.strip_suffix('%') {
                Some(share) => {
                    share.parse().ok().filter(|share| (1..=100).contains(share)).map(WaveSize::Percent)
                }
                None => word.parse().ok().filter(|count| *count > 0).map(WaveSize::Count),
            },
        };
        let sizes: Option<Vec<WaveSize>> = words.iter().enumerate().map(size).collect();
        sizes.filter(|sizes| sizes.len() <= WAVES_MAX).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Waves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, size) in self.0.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { "," })?;
            match size {
                WaveSize::Count(count) => write!(f, "{count}")?,
                WaveSize::Percent(percent) => write!(f, "{percent}%")?,
                WaveSize::Rest => f.write_str("rest")?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Waves {
    type Error = InvalidWaves;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Waves> for String {
    fn from(waves: Waves) -> Self {
        waves.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str, members: usize) -> Vec<usize> {
        text.parse::<Waves>().unwrap().sizes(members)
    }

    #[test]
    fn waves_take_everybody_once() {
        assert_eq!(sizes("1,10,100,rest", 500), [1, 10, 100, 389]);
        assert_eq!(sizes("1,10,100,rest", 7), [1, 6]);
        assert_eq!(sizes("3", 8), [3, 3, 2]);
        assert_eq!(sizes("1, 50%", 5), [1, 3, 1]);
        assert_eq!(sizes("10%", 4), [1, 1, 1, 1]);
        assert_eq!(sizes("rest", 4), [4]);
        assert_eq!(sizes("30%", 10), [3, 3, 3, 1]);
        assert!(sizes("1", 0).is_empty());
    }

    #[test]
    fn what_says_no_waves_is_refused() {
        for text in ["", "0", "1,,2", "rest,1", "-1", "101%", "0%", "ten", "1;2", "1,rest,rest"] {
            assert!(text.parse::<Waves>().is_err(), "{text}");
        }
        assert_eq!("1, 10%,rest".parse::<Waves>().unwrap().to_string(), "1,10%,rest");
    }
}
