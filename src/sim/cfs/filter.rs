//! Which components a request means.

use std::ops::Bound;

use serde_json::{Map, Value};

use super::status::Status;
use super::{Cfs, Component};
use crate::sim::http::{Refusal, bad};

use super::component::poisoned;

/// Components of one page.
pub struct Selection<'a> {
    pub found: Vec<(&'a String, &'a Component)>,
    /// There are more behind them.
    pub more: bool,
}

/// Which components are meant.
#[derive(Debug, Default)]
pub struct Filter {
    ids: Option<Vec<String>>,
    status: Option<Status>,
    enabled: Option<bool>,
    config_name: Option<String>,
    tags: Vec<(String, String)>,
}

impl Filter {
    /// Reads one parameter; keys that are none are ignored.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        match key {
            "ids" => {
                let ids = value.split(',').map(str::trim).filter(|id| !id.is_empty());
                self.ids = Some(ids.map(str::to_owned).collect::<Vec<_>>()).filter(|ids| !ids.is_empty());
            }
            "status" if !value.is_empty() => {
                let status = Status::read(value).ok_or_else(|| {
                    bad(format!("'{value}' is not one of ['unconfigured', 'failed', 'pending', 'configured', '']\n\nFailed validating 'enum' in schema"))
                })?;
                self.status = Some(status);
            }
            "enabled" => self.enabled = Some(value.eq_ignore_ascii_case("true")),
            "config_name" if !value.is_empty() => self.config_name = Some(value.to_owned()),
            "tags" => {
                let pairs = value.split(',').filter_map(|pair| pair.split_once('='));
                self.tags.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the `filters` of a PATCH.
    pub fn read(object: &Map<String, Value>) -> Result<Self, Refusal> {
        let mut filter = Self::default();
        for (key, value) in object {
            match value {
                Value::String(text) => filter.set(key, text)?,
                Value::Null => {}
                other => filter.set(key, &other.to_string())?,
            }
        }
        Ok(filter)
    }

    fn admits(&self, cfs: &Cfs, component: &Component) -> Result<bool, Refusal> {
        let tag = |(key, value): &(String, String)| component.tags.get(key) == Some(value);
        let status = match self.status {
            None => true,
            Some(wanted) => cfs.status_of(component).ok_or_else(poisoned)? == wanted,
        };
        Ok(status
            && self.enabled.is_none_or(|enabled| enabled == component.enabled)
            && self.config_name.as_ref().is_none_or(|name| **name == *component.desired_config)
            && self.tags.iter().all(tag))
    }

    /// The components that are meant, behind `after`, at most `limit`; and whether there are more.
    pub fn select<'a>(&self, cfs: &'a Cfs, after: &str, limit: usize) -> Result<Selection<'a>, Refusal> {
        let mut ids = self.ids.clone();
        if let Some(ids) = &mut ids {
            ids.sort_unstable();
            ids.dedup();
        }
        let range = (Bound::Excluded(after.to_owned()), Bound::Unbounded);
        let mut some = ids
            .iter()
            .flatten()
            .filter(|id| id.as_str() > after)
            .filter_map(|id| cfs.components.get_key_value(id));
        let mut all = cfs.components.range::<String, _>(range);
        let named = self.ids.is_some();
        let mut found = Vec::new();
        while let Some((id, component)) = if named { some.next() } else { all.next() } {
            if component.is_poisoned() {
                return Err(poisoned());
            }
            if self.admits(cfs, component)? {
                if found.len() == limit {
                    return Ok(Selection { found, more: true });
                }
                found.push((id, component));
            }
        }
        Ok(Selection { found, more: false })
    }

    /// The ids of all components that are meant.
    pub fn ids(&self, cfs: &Cfs) -> Result<Vec<String>, Refusal> {
        let Selection { found, .. } = self.select(cfs, "", usize::MAX)?;
        Ok(found.into_iter().map(|(id, _)| id.clone()).collect())
    }
}
