//! `bosun sql`: opens psql on the views, as the role that may only read.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;

use super::{CliError, Exit};

/// The role for people: it reads the views and nothing else.
const READER: &str = "bosun_reader";

/// `bosun sql`
#[derive(Args, Debug, Clone)]
pub struct SqlArgs {
    /// The database, as in postgres://user@host/bosun; the user becomes bosun_reader, whose password psql looks for in
    /// PGPASSWORD or ~/.pgpass
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Where the private database of `bosun dev` is kept
    #[arg(long, default_value = "bosun-data", value_name = "DIR", conflicts_with = "database_url")]
    pub data: PathBuf,
    /// What else psql is given, as in: bosun sql -- -c 'select * from stuck_sessions'
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<OsString>,
}

/// Becomes psql.
///
/// # Errors
/// When psql is not installed, or the URL is none.
pub fn run(args: &SqlArgs) -> Result<Exit, CliError> {
    let to = match &args.database_url {
        Some(url) => as_reader(url)?,
        None => {
            let directory = std::path::absolute(&args.data).map_err(CliError::Output)?;
            if !directory.join("data/PG_VERSION").is_file() {
                return Err(CliError::Usage(format!(
                    "there is no private database in {}; name one with --data, or another with --database-url",
                    args.data.display()
                )));
            }
            format!(
                "host='{}' user={READER} dbname=bosun",
                directory.display().to_string().replace('\'', r"\'")
            )
        }
    };
    let psql = find().ok_or_else(|| {
        CliError::Usage(
            "psql is not installed: install your system's PostgreSQL client (Debian: apt-get install postgresql-client), \
             or use any other client with the role bosun_reader"
                .to_owned(),
        )
    })?;
    let error = Command::new(&psql).arg(to).args(&args.arguments).exec();
    Err(CliError::File { path: psql, cause: error.to_string() })
}

/// The same database, for another role. The password of the one before is not its password.
fn as_reader(url: &str) -> Result<String, CliError> {
    let wrong = || CliError::Usage("the database's URL is none, as in postgres://user@host/bosun".to_owned());
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(wrong());
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    Ok(format!("{scheme}://{READER}@{host}{rest}"))
}

/// On the path, or beside the server's binaries.
fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(std::env::var_os("BOSUN_PG_BIN").map(PathBuf::from))
        .map(|directory| directory.join("psql"))
        .find(|program: &PathBuf| Path::is_file(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_reads_the_same_database() {
        for (url, wanted) in [
            (
                "postgres://bosun:s@cret@db:5432/bosun?sslmode=require",
                "postgres://bosun_reader@db:5432/bosun?sslmode=require",
            ),
            (
                "postgresql://localhost/bosun?host=/run/pg",
                "postgresql://bosun_reader@localhost/bosun?host=/run/pg",
            ),
            ("postgres://bosun@db", "postgres://bosun_reader@db"),
        ] {
            assert_eq!(as_reader(url).unwrap(), wanted);
        }
        assert!(as_reader("db/bosun").is_err() && as_reader("https://db/bosun").is_err());
    }
}
