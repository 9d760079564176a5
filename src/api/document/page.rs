//! The document as a page: made here, shown by any browser, without a script.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use serde_json::Value;

/// The methods, in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The whole page.
pub fn page(document: &Value) -> String {
    let mut html = String::new();
    write(&mut html, document).expect("a string takes whatever is written");
    html
}

type Operations<'a> = BTreeMap<&'a str, Vec<(&'a str, &'static str, &'a Value)>>;

fn write(html: &mut String, document: &Value) -> fmt::Result {
    let info = &document["info"];
    let (title, version) = (text(&info["title"]), text(&info["version"]));
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} {version}: API</title>\n\
         <link rel=\"stylesheet\" href=\"style.css\">\n<h1>{title} {version}</h1>\n<p>{}</p>\n\
         <p><a href=\"../openapi.json\">openapi.json</a></p>\n",
        text(&info["description"])
    )?;
    let operations = by_tag(document);
    html.push_str("<nav><ul>\n");
    for (tag, operations) in &operations {
        writeln!(html, "<li><a href=\"#{}\">{}</a> ({})", anchor(tag), escape(tag), operations.len())?;
    }
    html.push_str("<li><a href=\"#schemas\">Schemas</a>\n</ul></nav>\n");
    for (tag, operations) in &operations {
        writeln!(html, "<h2 id=\"{}\">{}</h2>", anchor(tag), escape(tag))?;
        for (path, method, shown) in operations {
            operation(html, path, method, shown)?;
        }
    }
    html.push_str("<h2 id=\"schemas\">Schemas</h2>\n");
    for (name, shown) in entries(&document["components"]["schemas"]) {
        write!(html, "<h3 id=\"{}\">{}</h3>\n<div>", anchor(name), escape(name))?;
        schema(html, shown)?;
        html.push_str("</div>\n");
    }
    Ok(())
}

fn by_tag(document: &Value) -> Operations<'_> {
    let mut operations = Operations::new();
    for (path, item) in entries(&document["paths"]) {
        for method in METHODS {
            if let Some(shown) = item.get(method) {
                let tag = shown["tags"][0].as_str().unwrap_or_default();
                operations.entry(tag).or_default().push((path, method, shown));
            }
        }
    }
    operations
}

fn operation(html: &mut String, path: &str, method: &str, shown: &Value) -> fmt::Result {
    writeln!(
        html,
        "<details id=\"{}\"><summary><span class=\"method {method}\">{method}</span><code>{}</code>\
         <span class=\"what\">{}</span></summary><div>",
        text(&shown["operationId"]),
        escape(path),
        text(&shown["summary"])
    )?;
    if let Some(description) = shown.get("description") {
        writeln!(html, "<p>{}</p>", text(description))?;
    }
    let parameters = shown["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !parameters.is_empty() {
        html.push_str("<h3>Parameters</h3>\n<table>\n");
        for parameter in parameters {
            let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
            write!(html, "<tr><td><code>{name}</code> <span class=\"bounds\">{place}</span><td>")?;
            schema(html, &parameter["schema"])?;
            writeln!(html, "<td>{}", text(&parameter["description"]))?;
        }
        html.push_str("</table>\n");
    }
    for (media, content) in entries(&shown["requestBody"]["content"]) {
        writeln!(html, "<h3>Body <span class=\"bounds\">{}</span></h3>", escape(media))?;
        schema(html, &content["schema"])?;
    }
    html.push_str("<h3>Answers</h3>\n<table>\n");
    for (status, response) in entries(&shown["responses"]) {
        write!(html, "<tr><td><code>{}</code> {}<td>", escape(status), text(&response["description"]))?;
        for (media, content) in entries(&response["content"]) {
            write!(html, "<span class=\"bounds\">{}</span> ", escape(media))?;
            schema(html, &content["schema"])?;
        }
        html.push('\n');
    }
    html.push_str("</table>\n</div></details>\n");
    Ok(())
}

fn schema(html: &mut String, shown: &Value) -> fmt::Result {
    if let Some(reference) = shown["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return write!(html, "<a href=\"#{}\">{}</a>", anchor(name), escape(name));
    }
    if let Some(choices) = shown["anyOf"].as_array() {
        for (nth, choice) in choices.iter().enumerate() {
            if nth > 0 {
                html.push_str(" or ");
            }
            schema(html, choice)?;
        }
        return Ok(());
    }
    let kind = match &shown["type"] {
        Value::String(kind) => escape(kind),
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    };
    write!(html, "<code>{kind}</code>")?;
    bounds(html, shown)?;
    if shown.get("items").is_some() {
        html.push_str(" of ");
        schema(html, &shown["items"])?;
    }
    let needed = shown["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    if shown["properties"].as_object().is_some_and(|fields| !fields.is_empty()) {
        html.push_str("<ul class=\"fields\">\n");
        for (name, field) in entries(&shown["properties"]) {
            write!(html, "<li><code>{}</code> ", escape(name))?;
            if needed.iter().any(|needed| needed == name) {
                html.push_str("<span class=\"needed\">required</span> ");
            }
            schema(html, field)?;
            html.push('\n');
        }
        html.push_str("</ul>\n");
    }
    if shown["additionalProperties"].is_object() {
        html.push_str("<ul class=\"fields\"><li>any key: ");
        schema(html, &shown["additionalProperties"])?;
        html.push_str("</ul>\n");
    }
    Ok(())
}

fn bounds(html: &mut String, shown: &Value) -> fmt::Result {
    let mut told: Vec<String> = Vec::new();
    if let Some(words) = shown["enum"].as_array() {
        told.push(words.iter().map(|word| escape(&word.to_string())).collect::<Vec<_>>().join(", "));
    }
    for (key, before) in [
        ("description", ""),
        ("minLength", "at least "),
        ("maxLength", "at most "),
        ("minimum", "from "),
        ("maximum", "to "),
        ("minItems", "at least "),
        ("maxItems", "at most "),
        ("maxProperties", "at most "),
    ] {
        // The largest number there is bounds nothing.
        if let Some(bound) = shown.get(key).filter(|bound| bound.as_i64() != Some(i64::MAX)) {
            told.push(format!("{before}{}", text(bound)));
        }
    }
    if told.is_empty() { Ok(()) } else { write!(html, " <span class=\"bounds\">{}</span>", told.join(", ")) }
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        Value::Null => String::new(),
        other => escape(&other.to_string()),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn anchor(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_shown_is_text() {
        let schema = json!({"type": "string", "description": "<script>alert(1)</script>"});
        let operation = json!({
            "operationId": "get_a", "tags": ["a"], "summary": "a & b", "parameters": [
                {"name": "q", "in": "query", "description": "d", "schema": schema},
            ],
            "responses": {"200": {"description": "well", "content": {"application/json": {"schema": {"$ref": "#/x/T"}}}}},
        });
        let page = page(&json!({
            "info": {"title": "t", "version": "1", "description": "d"},
            "paths": {"/a/{id}": {"get": operation}},
            "components": {"schemas": {"T": {"type": "object", "properties": {"x": {"type": "integer"}}}}},
        }));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("a &amp; b"));
        for part in ["id=\"get_a\"", "<code>/a/{id}</code>", "href=\"#T\"", "id=\"T\"", "<code>x</code>"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}
