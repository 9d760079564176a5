//! Marks the boot image in IMS so that its root file system is projected.

use super::{done, words::clean};
use crate::{
    clients::{ClientError, Services},
    model::{
        reason::{Reason, ReasonCode},
        verb::{Answer, Call, CallError, Took},
    },
};

/// Tags the image. One that IMS does not manage needs no tag; one call is about one image, so a refusal is final.
pub(super) async fn act(at: &Services, call: &Call<'_>) -> Result<Answer, CallError> {
    let Some(image) = call.shared.image else { return Ok(done()) };
    match at.ims.tag_projected(image).await {
        Ok(_) => Ok(done()),
        Err(ClientError::Refused { text, .. }) => {
            let reason = Reason::new(ReasonCode::ImageTagFailed, clean(&text));
            Ok(Answer { rest: Took::Refused(reason), ..done() })
        }
        Err(error) => Err(error.into()),
    }
}
