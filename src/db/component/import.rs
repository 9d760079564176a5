//! Taking over what another BOS knows of components, and what their tokens stand for.

use std::collections::BTreeMap;

use crate::model::{
    artifacts::{BootArtifacts, BootArtifactsId},
    import::{self, Adopted, Fate, Foreign, Own, Running},
};

use super::{
    super::{Connection, DbError, Pool, artifacts, boot_token, error::doing},
    discover,
};

/// A token means one thing for ever.
const OTHER_MEANING: &str = "bosun knows its token as something else";

/// What became of components and tokens.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    /// By component.
    pub components: Vec<(String, Fate)>,
    /// By token.
    pub tokens: Vec<(String, Fate)>,
}

/// Takes them over in one transaction; with `rehearse` it is taken back, and all is as it was. Of several entries for
/// one component the last one counts.
pub async fn import(pool: &Pool, components: Vec<Foreign>, rehearse: bool) -> Result<Imported, DbError> {
    let pool = pool.clone();
    let task = tokio::spawn(async move {
        let mut tx = pool.begin().await.map_err(doing("import components"))?;
        let imported = import_in(&mut tx, components).await?;
        let ended = if rehearse { tx.rollback().await } else { tx.commit().await };
        ended.map_err(doing("import components")).map(|()| imported)
    });
    task.await.expect("nothing in an import panics")
}

async fn import_in(conn: &mut Connection, components: Vec<Foreign>) -> Result<Imported, DbError> {
    let foreign = numbered(conn, components).await?;
    let meant = meant(&foreign);
    let before = boot_token::insert(conn, &meant).await?;
    let meaning = |token: &str| before.get(token).or_else(|| meant.get(token)).copied();
    let xnames: Vec<String> = foreign.keys().cloned().collect();
    discover::insert(conn, &xnames, true).await?;
    let own = own(conn, &xnames).await?;
    let mut columns = Columns::default();
    let mut fates = Vec::with_capacity(foreign.len());
    for (xname, number, own) in own {
        let Some(foreign) = foreign.get(&xname) else { continue };
        let running = foreign.running.as_ref();
        if running.is_some_and(|running| meaning(&running.token) != Some(running.artifacts)) {
            fates.push((xname, Fate::Left(OTHER_MEANING.to_owned())));
            continue;
        }
        let (adopted, fate) = import::adopt(&own, foreign);
        if adopted.is_something() {
            columns.add(number, adopted, foreign);
        }
        fates.push((xname, fate));
    }
    columns.write(conn).await?;
    let fate = |(token, artifacts): (&String, &BootArtifactsId)| {
        let fate = match before.get(token) {
            None => Fate::Taken,
            Some(known) if known == artifacts => Fate::Unchanged,
            Some(_) => Fate::Left(OTHER_MEANING.to_owned()),
        };
        (token.clone(), fate)
    };
    Ok(Imported { components: fates, tokens: meant.iter().map(fate).collect() })
}

/// The same with numbers for artifacts, by id: the order in which rows are locked.
async fn numbered(
    conn: &mut Connection,
    components: Vec<Foreign>,
) -> Result<BTreeMap<String, Foreign<BootArtifactsId>>, DbError> {
    let named = components
        .iter()
        .flat_map(|one| one.running.iter().map(|running| &running.artifacts).chain(&one.desired));
    let named: Vec<&BootArtifacts> = named.collect();
    let numbers = artifacts::numbers(conn, &named).await?;
    let number = |artifacts: &BootArtifacts| numbers[artifacts];
    let numbered = components.iter().map(|one| {
        let running = one.running.as_ref().map(|running| Running {
            token: running.token.clone(),
            artifacts: number(&running.artifacts),
            at: running.at,
        });
        let foreign = Foreign {
            id: one.id.clone(),
            running,
            desired: one.desired.as_ref().map(number),
            configuration: one.configuration.clone(),
            retry_policy: one.retry_policy,
        };
        (one.id.clone(), foreign)
    });
    Ok(numbered.collect())
}

/// What the tokens of these components stand for there.
fn meant(foreign: &BTreeMap<String, Foreign<BootArtifactsId>>) -> BTreeMap<String, BootArtifactsId> {
    let running = foreign.values().filter_map(|one| one.running.as_ref());
    running.map(|running| (running.token.clone(), running.artifacts)).collect()
}

/// What is known of components, their rows locked.
async fn own(conn: &mut Connection, xnames: &[String]) -> Result<Vec<(String, i32, Own)>, DbError> {
    let rows = sqlx::query!(
        r#"with locked as materialized (
             select c.* from component c
              where c.xname = any ($1) and c.retired_at is null order by c.component_id for update)
           select c.xname, c.component_id, coalesce(c.actual_token, '') as "token!", c.actual_boot_artifacts_id as running,
                  c.retry_policy,
                  c.reported_at is not null or c.wished_at is not null or p.last_power_at is not null
                    or p.claimed_by is not null as "is_familiar!",
                  c.desired_boot_artifacts_id is not null or coalesce(c.desired_configuration, '') <> '' as "has_desire!"
             from locked c
             join lateral (select * from component_progress x where x.component_id = c.component_id) p on true"#,
        xnames
    )
    .fetch_all(conn)
    .await
    .map_err(doing("read what is known of components"))?;
    let own = rows.into_iter().map(|row| {
        let own = Own {
            is_familiar: row.is_familiar,
            token: row.token,
            running: row.running.map(BootArtifactsId),
            has_desire: row.has_desire,
            retry_policy: row.retry_policy,
        };
        (row.xname, row.component_id, own)
    });
    Ok(own.collect())
}

/// What is written, as parallel arrays; null leaves what is there.
#[derive(Default)]
struct Columns {
    number: Vec<i32>,
    token: Vec<Option<String>>,
    running: Vec<Option<i32>>,
    at: Vec<Option<crate::model::Timestamp>>,
    desire: Vec<bool>,
    desired: Vec<Option<i32>>,
    configuration: Vec<String>,
    retry_policy: Vec<Option<i32>>,
}

impl Columns {
    fn add(&mut self, number: i32, adopted: Adopted, foreign: &Foreign<BootArtifactsId>) {
        let running = foreign.running.as_ref().filter(|_| adopted.running);
        self.number.push(number);
        self.token.push(running.map(|running| running.token.clone()));
        self.running.push(running.map(|running| running.artifacts.0));
        self.at.push(running.and_then(|running| running.at));
        self.desire.push(adopted.desire);
        self.desired.push(foreign.desired.map(|artifacts| artifacts.0));
        self.configuration.push(foreign.configuration.clone());
        self.retry_policy.push(foreign.retry_policy.filter(|_| adopted.retry_policy));
    }

    /// `reported_at` stays empty: it did not report to us, so later news of BOS's may still replace this.
    async fn write(&self, conn: &mut Connection) -> Result<(), DbError> {
        sqlx::query!(
            "update component c
                set actual_token = coalesce(u.token, c.actual_token),
                    actual_boot_artifacts_id = coalesce(u.running, c.actual_boot_artifacts_id),
                    actual_updated_at = case when u.running is null then c.actual_updated_at
                                             else least(u.at, clock_timestamp()) end,
                    desired_boot_artifacts_id = case when u.desire then u.desired else c.desired_boot_artifacts_id end,
                    desired_configuration = case when u.desire then u.configuration else c.desired_configuration end,
                    desired_updated_at = case when u.desire then clock_timestamp() else c.desired_updated_at end,
                    retry_policy = coalesce(u.retry_policy, c.retry_policy)
               from unnest($1::int4[], $2::text[], $3::int4[], $4::timestamptz[], $5::bool[], $6::int4[], $7::text[],
                           $8::int4[])
                    u(component_id, token, running, at, desire, desired, configuration, retry_policy)
              where c.component_id = any ($1) and c.component_id = u.component_id",
            &self.number,
            &self.token as &[Option<String>],
            &self.running as &[Option<i32>],
            &self.at as &[Option<crate::model::Timestamp>],
            &self.desire,
            &self.desired as &[Option<i32>],
            &self.configuration,
            &self.retry_policy as &[Option<i32>],
        )
        .execute(conn)
        .await
        .map_err(doing("import components"))?;
        Ok(())
    }
}
