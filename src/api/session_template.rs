//! What both APIs do with a session template before it is kept, and how it is shown.

use serde_json::{Value, json};

use super::{
    ApiError,
    schema::{self, Shape},
};
use crate::{
    db::session_template::StoredTemplate,
    model::{
        limit::looks_like_nid,
        session_template::{Arch, BootSet, Configuration, SessionTemplate},
        xname,
    },
};

/// Reads a template from a body: checked against `shape`, mended as BOS mends it, complete.
///
/// # Errors
/// 400 that says what is wrong, after `prefix`.
pub fn read(shape: &Shape, body: &Value, reject_nids: bool, prefix: &str) -> Result<SessionTemplate, ApiError> {
    schema::check(shape, body)?;
    let mut template: SessionTemplate = serde_json::from_value(body.clone())
        .map_err(|error| ApiError::bad_request(format!("{prefix}{error}")))?;
    mend(&mut template, reject_nids).map_err(|what| ApiError::bad_request(format!("{prefix}{what}")))?;
    Ok(template)
}

/// Boot sets lose a name that says the same as their key, an empty configuration counts as none, the architecture is
/// written down, and components get their canonical names.
pub fn mend(template: &mut SessionTemplate, reject_nids: bool) -> Result<(), String> {
    drop_empty(&mut template.cfs);
    for (key, boot_set) in &mut template.boot_sets {
        match boot_set.name.take() {
            Some(name) if name != *key => {
                return Err(format!("boot set '{key}' has the name '{name}': leave it out, or give the same"));
            }
            _ => {}
        }
        boot_set.arch.get_or_insert(Arch::X86);
        drop_empty(&mut boot_set.cfs);
        if !selects(boot_set) {
            return Err(format!(
                "boot set '{key}' names nobody: give node_list, node_groups or node_roles_groups"
            ));
        }
        for node in boot_set.node_list.iter_mut().flatten() {
            if reject_nids && looks_like_nid(node) {
                return Err(format!("Boot set {key}: Has NID in 'node_list'"));
            }
            *node = xname::canonical(node);
        }
    }
    Ok(())
}

fn selects(boot_set: &BootSet) -> bool {
    let lists = [&boot_set.node_list, &boot_set.node_roles_groups, &boot_set.node_groups];
    lists.iter().any(|list| list.as_ref().is_some_and(|list| !list.is_empty()))
}

fn drop_empty(cfs: &mut Option<Configuration>) {
    if cfs.as_ref().is_some_and(|cfs| cfs.configuration.as_deref().unwrap_or_default().is_empty()) {
        *cfs = None;
    }
}

/// As BOS shows it: the content with its name and tenant.
pub fn show(template: &StoredTemplate) -> Value {
    let mut shown = json!(template.content);
    shown["name"] = json!(template.name);
    shown["tenant"] = if template.tenant.is_empty() { Value::Null } else { json!(template.tenant) };
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::bos::shape::SESSION_TEMPLATE;

    fn read_body(body: &Value, reject_nids: bool) -> Result<SessionTemplate, String> {
        read(&SESSION_TEMPLATE, body, reject_nids, "").map_err(|error| error.to_string())
    }

    #[test]
    fn a_template_is_mended() {
        let body = json!({
            "cfs": {"configuration": ""},
            "boot_sets": {"compute": {
                "name": "compute", "path": "s3://boot-images/i/manifest.json", "type": "s3", "cfs": {},
                "node_list": ["X0001C00S01B00N00", "odd Name"],
            }},
        });
        let template = read_body(&body, true).expect("the template is right");
        let set = &template.boot_sets["compute"];
        assert_eq!((set.name.as_ref(), set.arch, set.cfs.as_ref()), (None, Some(Arch::X86), None));
        assert_eq!(template.cfs, None);
        assert_eq!(set.node_list, Some(vec!["x1c0s1b0n0".to_owned(), "odd name".to_owned()]));
    }

    #[test]
    fn a_boot_set_must_select_somebody_and_keep_its_name() {
        let body = |extra: Value| {
            let mut set = json!({"path": "p", "type": "s3"});
            set.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
            json!({"boot_sets": {"c": set}})
        };
        let mistake = |extra| read_body(&body(extra), true).expect_err("the template is wrong");
        assert!(mistake(json!({})).contains("names nobody"));
        assert!(mistake(json!({"name": "d", "node_groups": ["g"]})).contains("has the name 'd'"));
        assert_eq!(mistake(json!({"node_list": ["nid000001"]})), "Boot set c: Has NID in 'node_list'");
        assert!(read_body(&body(json!({"node_list": ["nid000001"]})), false).is_ok());
    }
}
