//! The bearer token for a gateway, read from a file that somebody else renews.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use reqwest::header::HeaderValue;

use super::ClientError;

/// How often the file's age is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A token file, read again when it has changed.
#[derive(Debug)]
pub(super) struct Bearer {
    path: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    looked_at: Instant,
    modified: Option<SystemTime>,
    header: HeaderValue,
}

impl Bearer {
    /// Reads the token for the first time.
    pub fn new(path: PathBuf) -> Result<Self, ClientError> {
        let modified = modified(&path);
        let header = read(&path).map_err(|why| {
            ClientError::Configuration(format!("the token file '{}' cannot be used: {why}", path.display()))
        })?;
        let held = Mutex::new(Held { looked_at: Instant::now(), modified, header });
        Ok(Self { path, held })
    }

    /// The value of the `Authorization` header. A file that cannot be read just now leaves the token as it was.
    pub fn current(&self) -> HeaderValue {
        let mut held = self.held.lock().expect("nothing panics while it is held");
        if held.looked_at.elapsed() >= LOOK_EVERY {
            held.looked_at = Instant::now();
            let modified = modified(&self.path);
            if modified != held.modified
                && let Ok(header) = read(&self.path)
            {
                held.modified = modified;
                held.header = header;
            }
        }
        held.header.clone()
    }
}

fn modified(path: &PathBuf) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// The header for the token in a file.
pub(super) fn read(path: &Path) -> Result<HeaderValue, String> {
    header(&fs::read_to_string(path).map_err(|error| error.to_string())?)
}

/// The header for a token.
pub(super) fn header(token: &str) -> Result<HeaderValue, String> {
    let token = token.trim();
    if token.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "it holds characters that no token has".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}
