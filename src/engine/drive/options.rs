//! BOS's options, as far as they mean something to a worker at work; the rest is frozen into its plan.

use super::{Driver, Halt};
use crate::db;

impl Driver {
    /// Reads the options and heeds them.
    pub(super) async fn heed_options(&mut self) -> Result<(), Halt> {
        let options = self.journal.read(async |connection| db::options::get(connection).await).await?;
        self.hands.services().heed(&options);
        (self.heed)(&options);
        Ok(())
    }
}
