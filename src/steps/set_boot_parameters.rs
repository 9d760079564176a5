//! Tells BSS what the nodes boot, and keeps the token by which their reports will be known.

use super::{done, names, rejected, words::clean};
use crate::{
    clients::{ClientError, Services},
    model::{
        reason::{Reason, ReasonCode},
        verb::{Answer, Call, CallError, Took},
    },
};

/// Replaces the boot parameters of these nodes. Saying it twice is harmless: the last token counts.
pub(super) async fn act(at: &Services, call: &Call<'_>) -> Result<Answer, CallError> {
    let Some(artifacts) = call.shared.artifacts else {
        return Err(rejected("the plan names nothing to boot for these components".to_owned()));
    };
    match at.bss.put_boot_parameters(&names(call.members), artifacts).await {
        Ok(token) => Ok(Answer { token: Some(token), ..done() }),
        // With one component in the call there is no doubt whom the refusal is about; a missing token is about all.
        Err(ClientError::Refused { text, status, .. }) if status == 200 || call.members.len() == 1 => {
            let reason = Reason::new(ReasonCode::BootParametersRejected, clean(&text));
            Ok(Answer { rest: Took::Refused(reason), ..done() })
        }
        Err(error) => Err(error.into()),
    }
}
