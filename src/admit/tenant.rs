//! Which components a tenant may see and touch: asked of TAPMS, and remembered for a few seconds.
//!
//! An answer that is remembered is believed by requests that read or write records. A session that is admitted, or
//! tries failed components again, always asks anew. While TAPMS is down and nothing is remembered there is no answer:
//! never everything.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{Admit, Rejection};
use crate::clients::{ClientError, tapms::Tapms};

/// Most tenants that are remembered; beyond, the one that was asked for longest ago is forgotten.
const TENANTS_MAX: usize = 100;

/// What a request may see and touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Nobody's request: everything.
    Everything,
    /// A tenant's: these components, in order.
    Only(Arc<Vec<String>>),
}

impl Scope {
    /// Whether a component is within.
    pub fn holds(&self, xname: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(components) => {
                components.binary_search_by(|component| component.as_str().cmp(xname)).is_ok()
            }
        }
    }

    /// Of those that are asked for (`None`: all there are), those within. `None`: all there are.
    pub fn narrow(&self, asked: Option<Vec<String>>) -> Option<Vec<String>> {
        match (self, asked) {
            (Self::Everything, asked) => asked,
            (Self::Only(components), None) => Some(components.to_vec()),
            (Self::Only(_), Some(asked)) => {
                Some(asked.into_iter().filter(|xname| self.holds(xname)).collect())
            }
        }
    }
}

impl Admit {
    /// What a tenant (empty: nobody) may see and touch. `None`: there is no such tenant.
    ///
    /// # Errors
    /// [`Rejection::Unavailable`]: nobody can tell.
    pub async fn scope(&self, tenant: &str) -> Result<Option<Scope>, Rejection> {
        self.scope_by(tenant, self.settings.tenant_cache_time).await
    }

    /// The components of the tenant for whom a session acts, as they are now; `None`: it acts for nobody.
    pub(super) async fn components_of_tenant(
        &self,
        tenant: &str,
    ) -> Result<Option<BTreeSet<String>>, Rejection> {
        match self.scope_by(tenant, Duration::ZERO).await? {
            Some(Scope::Everything) => Ok(None),
            Some(Scope::Only(components)) => Ok(Some(components.iter().cloned().collect())),
            None => Err(Rejection::Invalid(format!("there is no tenant '{tenant}'; nothing was changed"))),
        }
    }

    async fn scope_by(&self, tenant: &str, believed_for: Duration) -> Result<Option<Scope>, Rejection> {
        if tenant.is_empty() {
            return Ok(Some(Scope::Everything));
        }
        let components = self.tenants.components(&self.services.tapms, tenant, believed_for).await?;
        Ok(components.map(Scope::Only))
    }
}

type Components = Result<Option<Arc<Vec<String>>>, ClientError>;

/// What TAPMS said of one tenant.
#[derive(Debug)]
struct Answer {
    asked_at: Instant,
    components: Components,
}

impl Answer {
    /// Whether it serves somebody who came at `now`. A tenant that does not exist may exist a moment later, and TAPMS be
    /// back: that is believed only by those who waited meanwhile.
    fn serves(&self, now: Instant, believed_for: Duration) -> bool {
        let known = matches!(self.components, Ok(Some(_)));
        self.asked_at >= now || known && now.duration_since(self.asked_at) < believed_for
    }
}

/// One question at a time, whose answer serves all who wait for it.
type Slot = Arc<Mutex<Option<Answer>>>;

/// What is remembered of tenants.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    slots: StdMutex<HashMap<String, (Instant, Slot)>>,
}

impl Tenants {
    async fn components(&self, tapms: &Tapms, tenant: &str, believed_for: Duration) -> Components {
        let now = Instant::now();
        let slot = self.slot(tenant, now);
        let mut kept = slot.lock().await;
        if let Some(answer) = kept.as_ref().filter(|answer| answer.serves(now, believed_for)) {
            return answer.components.clone();
        }
        let asked_at = Instant::now();
        let components = tapms.components(tenant).await.map(|found| found.map(Arc::new));
        *kept = Some(Answer { asked_at, components: components.clone() });
        components
    }

    fn slot(&self, tenant: &str, now: Instant) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if !slots.contains_key(tenant) && slots.len() >= TENANTS_MAX {
            let oldest = slots.iter().min_by_key(|(_, (wanted_at, _))| *wanted_at);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                slots.remove(&name);
            }
        }
        let (wanted_at, slot) = slots.entry(tenant.to_owned()).or_insert_with(|| (now, Slot::default()));
        *wanted_at = now;
        slot.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_holds_its_own() {
        let scope = Scope::Only(Arc::new(vec!["x1".to_owned(), "x3".to_owned()]));
        assert!(scope.holds("x3") && !scope.holds("x2") && Scope::Everything.holds("x2"));
        let asked = || vec!["x2".to_owned(), "x3".to_owned()];
        assert_eq!(scope.narrow(Some(asked())), Some(vec!["x3".to_owned()]));
        assert_eq!(scope.narrow(None), Some(vec!["x1".to_owned(), "x3".to_owned()]));
        assert_eq!(Scope::Everything.narrow(Some(asked())), Some(asked()));
        assert_eq!(Scope::Everything.narrow(None), None);
    }

    #[test]
    fn only_what_exists_is_believed_later() {
        let then = Instant::now();
        let later = then + Duration::from_secs(3);
        let believed_for = Duration::from_secs(5);
        let answer = |components| Answer { asked_at: then, components };
        let known = answer(Ok(Some(Arc::default())));
        assert!(known.serves(later, believed_for) && !known.serves(later, Duration::from_secs(3)));
        assert!(known.serves(then, Duration::ZERO));
        let gone = ClientError::Unavailable { service: "tapms", text: String::new(), retry_after: None };
        for answer in [answer(Ok(None)), answer(Err(gone))] {
            assert!(answer.serves(then, believed_for) && !answer.serves(later, believed_for));
        }
    }

    #[test]
    fn the_longest_unwanted_is_forgotten() {
        let tenants = Tenants::default();
        let start = Instant::now();
        for n in 0..=TENANTS_MAX {
            tenants.slot(&format!("t{n}"), start + Duration::from_secs(n as u64));
            tenants.slot("t0", start + Duration::from_secs(n as u64));
        }
        let slots = tenants.slots.lock().unwrap();
        assert_eq!(slots.len(), TENANTS_MAX);
        assert!(slots.contains_key("t0") && !slots.contains_key("t1") && slots.contains_key("t2"));
    }
}
