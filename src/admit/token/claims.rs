//! What a token's claims say of its bearer. Pure.

use serde_json::Value;

use crate::model::role::Role;

/// Longest subject that is kept.
const SUBJECT_CHARS_MAX: usize = 127;

/// Whose a request is, as a token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's subject, or the name that goes with it.
    pub subject: String,
    /// The most that it may do.
    pub role: Role,
    /// The tenant to which the token is bound.
    pub tenant: Option<String>,
}

/// Where claims stand, and which names stand for which role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// Where the roles stand: a claim's name, or a way through claims, as in `realm_access.roles`. A list of texts, or one
    /// text with spaces between.
    pub roles: String,
    /// What stands for [`Role::View`].
    pub view: Vec<String>,
    /// What stands for [`Role::Operate`].
    pub operate: Vec<String>,
    /// What stands for [`Role::Admin`].
    pub admin: Vec<String>,
    /// Where the tenant stands.
    pub tenant: String,
}

impl ClaimNames {
    /// The bearer; none if a claim that is there cannot be read: half a proof is none.
    pub fn caller(&self, claims: &Value) -> Option<Caller> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let subject = text("preferred_username").or_else(|| text("sub"))?;
        let tenant = match find(claims, &self.tenant) {
            None | Some(Value::Null) => None,
            Some(tenant) => Some(tenant.as_str().filter(|tenant| !tenant.is_empty())?.to_owned()),
        };
        Some(Caller {
            subject: subject.chars().filter(|c| !c.is_control()).take(SUBJECT_CHARS_MAX).collect(),
            role: self.role(find(claims, &self.roles).unwrap_or(&Value::Null)),
            tenant,
        })
    }

    fn role(&self, roles: &Value) -> Role {
        let words: Vec<&str> = match roles {
            Value::String(text) => text.split_whitespace().collect(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let has = |names: &[String]| words.iter().any(|word| names.iter().any(|name| name == word));
        if has(&self.admin) {
            Role::Admin
        } else if has(&self.operate) {
            Role::Operate
        } else if has(&self.view) {
            Role::View
        } else {
            Role::Report
        }
    }
}

/// A claim of that very name (names may have dots), or what stands at the end of the way.
fn find<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    claims.get(path).or_else(|| path.split('.').try_fold(claims, |at, name| at.get(name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(roles: &str) -> ClaimNames {
        let one = |name: &str| vec![name.to_owned()];
        ClaimNames {
            roles: roles.to_owned(),
            view: one("v"),
            operate: one("o"),
            admin: one("a"),
            tenant: "tenant".to_owned(),
        }
    }

    #[test]
    fn roles_are_found_wherever_they_stand() {
        let role = |path: &str, claims: Value| {
            let mut claims = claims;
            claims["sub"] = json!("x");
            names(path).caller(&claims).map(|caller| caller.role)
        };
        assert_eq!(role("roles", json!({"roles": ["x", "o"]})), Some(Role::Operate));
        assert_eq!(role("realm.roles", json!({"realm": {"roles": ["v", "a"]}})), Some(Role::Admin));
        assert_eq!(role("https://x.org/roles", json!({"https://x.org/roles": ["v"]})), Some(Role::View));
        assert_eq!(role("scope", json!({"scope": "openid v"})), Some(Role::View));
        for none in [json!({}), json!({"roles": []}), json!({"roles": {"a": true}}), json!({"roles": "va"})] {
            assert_eq!(role("roles", none), Some(Role::Report));
        }
    }

    #[test]
    fn a_tenant_that_cannot_be_read_is_not_passed_over() {
        let caller = |claims: Value| names("roles").caller(&claims);
        assert_eq!(caller(json!({"sub": "x", "tenant": "blue"})).unwrap().tenant.as_deref(), Some("blue"));
        assert_eq!(caller(json!({"sub": "x", "tenant": null})).unwrap().tenant, None);
        for odd in [json!(["blue"]), json!(""), json!(7)] {
            assert_eq!(caller(json!({"sub": "x", "tenant": odd})), None);
        }
        let named = caller(json!({"sub": "7", "preferred_username": "ann\n"})).unwrap();
        assert_eq!(named.subject, "ann");
        assert_eq!(caller(json!({"sub": ""})), None);
    }
}
