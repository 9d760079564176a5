//! Components: what HSM knows and the database does not yet.

use super::{Admit, Rejection};
use crate::{
    db,
    model::{component::ComponentNo, selection::ComponentNumbers, xname::canonical},
};

/// What a discovery found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discovered {
    /// How many nodes HSM has.
    pub nodes: usize,
    /// How many of them were new.
    pub added: u64,
}

impl Admit {
    /// Adds the nodes that HSM has and the database has not. Never takes one away.
    pub async fn discover(&self) -> Result<Discovered, Rejection> {
        let nodes = self.services.hsm.nodes().await?;
        let names: Vec<String> = nodes.iter().map(|node| canonical(&node.id)).collect();
        let mut conn = db::acquire(&self.pool).await?;
        let added = db::component::discover(&mut conn, &names).await?;
        Ok(Discovered { nodes: names.len(), added })
    }

    /// The database's numbers of components. Those it does not have yet are added, also those that only a template
    /// names: who was left out because HSM does not know it has to be on record, too.
    pub(super) async fn numbers(&self, names: &[String]) -> Result<ComponentNumbers, Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        let mut numbers = known(&mut conn, names).await?;
        let missing: Vec<String> =
            names.iter().filter(|name| !numbers.contains_key(*name)).cloned().collect();
        if !missing.is_empty() {
            db::component::discover(&mut conn, &missing).await?;
            numbers.extend(known(&mut conn, &missing).await?);
        }
        Ok(numbers)
    }

    /// Numbers for a preview, which keeps nothing: the database's, and below zero those of components it has not.
    pub(super) async fn preview_numbers(&self, names: &[String]) -> Result<ComponentNumbers, Rejection> {
        let mut conn = db::acquire(&self.pool).await?;
        let mut numbers = known(&mut conn, names).await?;
        let missing: Vec<&String> = names.iter().filter(|name| !numbers.contains_key(*name)).collect();
        for (name, number) in missing.into_iter().zip((i32::MIN..0).rev()) {
            numbers.insert(name.clone(), ComponentNo(number));
        }
        Ok(numbers)
    }
}

async fn known(conn: &mut db::Connection, names: &[String]) -> Result<ComponentNumbers, Rejection> {
    let numbers = db::component::numbers(conn, names).await?;
    Ok(numbers.into_iter().map(|(name, number)| (name, ComponentNo(number))).collect())
}
