//! Asks whoever sits at a terminal whether so many nodes are meant. In a script nobody is asked: `--yes` says it.

use std::io::{IsTerminal, Write as _};

use serde_json::{Value, json};

use super::{CliError, client::Client};

/// Posts a request for a session; if the site wants its size confirmed, asks for the number of nodes and posts it again.
///
/// # Errors
/// When the server cannot be asked, or refuses; when nobody is there to be asked, or types something else.
pub async fn post(client: &Client, path: &[&str], body: &mut Value) -> Result<Value, CliError> {
    let refused = match client.post(path, body).await {
        Err(error @ CliError::Refused { confirm: Some(_), .. }) => error,
        other => return other,
    };
    let CliError::Refused { confirm: Some(count), detail, .. } = &refused else { return Err(refused) };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused);
    }
    let mut talk = std::io::stderr();
    write!(talk, "{detail}\nType the number of nodes to go on: ")?;
    talk.flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    if typed.trim() != count.to_string() {
        return Err(CliError::Usage(format!("'{}' is not {count}; nothing was changed", typed.trim())));
    }
    body["confirmed"] = json!(count);
    client.post(path, body).await
}
