//! The lock file of a data directory: live, or left behind.

use std::{fs, os::unix::net::UnixStream, path::Path};

use rustix::process::{Pid, test_kill_process};

use super::PrivateError;

/// Refuses a directory that a live server uses; clears away what a dead one left. Postgres itself stumbles where the
/// dead one's process number has been given to another process, which is usual in containers.
pub(super) fn check(dir: &Path, data: &Path) -> Result<(), PrivateError> {
    let file = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
    let socket = dir.join(".s.PGSQL.5432");
    if let Some(pid) = pid
        && (UnixStream::connect(&socket).is_ok() || is_server_of(pid, data))
    {
        return Err(PrivateError::InUse { dir: dir.to_owned(), pid });
    }
    for left_behind in [file, dir.join(".s.PGSQL.5432.lock"), socket] {
        let _ = fs::remove_file(left_behind);
    }
    Ok(())
}

/// Whether that process is a server at work in this directory: servers stand in their data directory. Where nothing can
/// be found out it is one.
fn is_server_of(pid: i32, data: &Path) -> bool {
    let Some(process) = Pid::from_raw(pid) else { return false };
    if matches!(test_kill_process(process), Err(rustix::io::Errno::SRCH)) {
        return false;
    }
    match fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(stands_in) => data.canonicalize().is_ok_and(|data| data == stands_in),
        Err(_) => true,
    }
}
