//! Shapes as JSON Schema.

use serde_json::{Map, Value, json};

use crate::api::schema::{Field, Shape};

/// Bounds beyond are none: nobody sends as much.
const UNBOUNDED: usize = u32::MAX as usize;
const NAME: &str = "[a-zA-Z0-9]([-._a-zA-Z0-9]{0,125}[a-zA-Z0-9])?";

/// The schemas that have names.
#[derive(Debug, Default)]
pub struct Schemas(Map<String, Value>);

impl Schemas {
    /// All that were met, by name.
    pub fn named(self) -> Value {
        Value::Object(self.0)
    }

    /// The schema of a shape; a reference where it has a name.
    pub fn of(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Named(name, inner) => {
                let schema = self.of(inner);
                let known = self.0.insert((*name).to_owned(), schema.clone());
                debug_assert!(known.is_none_or(|known| known == schema), "{name} is the name of two shapes");
                json!({"$ref": format!("#/components/schemas/{name}")})
            }
            Shape::Text { min, max } => {
                let mut schema = json!({"type": "string"});
                if *min > 0 {
                    schema["minLength"] = json!(min);
                }
                if *max < UNBOUNDED {
                    schema["maxLength"] = json!(max);
                }
                schema
            }
            Shape::Name => {
                json!({"type": "string", "minLength": 1, "maxLength": 127, "pattern": format!("^{NAME}$")})
            }
            Shape::NameOrEmpty => {
                json!({"type": "string", "maxLength": 127, "pattern": format!("^({NAME})?$")})
            }
            Shape::Integer { min, max } => {
                json!({"type": "integer", "format": "int64", "minimum": min, "maximum": max})
            }
            Shape::Number => json!({"type": "number"}),
            Shape::Boolean => json!({"type": "boolean"}),
            Shape::Word(words) => json!({"type": "string", "enum": words}),
            Shape::Moment => json!({"type": "string", "format": "date-time"}),
            Shape::Grammar { max, pattern, what, .. } => {
                json!({"type": "string", "maxLength": max, "pattern": pattern, "description": what})
            }
            Shape::Any | Shape::ReadOnly => json!({}),
            Shape::Object(fields) => self.object(&[fields], false),
            Shape::Both(some, others) => self.object(&[some, others], false),
            Shape::Open(fields) => self.object(&[fields], true),
            Shape::NonEmptyObject(lists) => {
                let mut schema = self.object(lists, false);
                schema["minProperties"] = json!(1);
                schema
            }
            Shape::Map { max, key, value } => json!({
                "type": "object", "minProperties": 1, "maxProperties": max,
                "propertyNames": self.of(key), "additionalProperties": self.of(value),
            }),
            Shape::Table(value) => json!({"type": "object", "additionalProperties": self.of(value)}),
            Shape::List { min, max, item } => {
                let mut schema = json!({"type": "array", "items": self.of(item)});
                if *min > 0 {
                    schema["minItems"] = json!(min);
                }
                if *max < UNBOUNDED {
                    schema["maxItems"] = json!(max);
                }
                schema
            }
            Shape::Many(item) => json!({"type": "array", "items": self.of(item)}),
            Shape::AnyOf(shapes) => {
                json!({"anyOf": shapes.iter().map(|shape| self.of(shape)).collect::<Vec<_>>()})
            }
            Shape::Nullable(inner) => nullable(self.of(inner)),
        }
    }

    /// What is only shown is not part of a request: there it is refused like anything else that is not known.
    fn object(&mut self, lists: &[&[Field]], open: bool) -> Value {
        let fields = lists.iter().copied().flatten();
        let taken: Vec<&Field> = fields.filter(|field| !matches!(field.shape, Shape::ReadOnly)).collect();
        let properties: Map<String, Value> =
            taken.iter().map(|field| (field.name.to_owned(), self.of(field.shape))).collect();
        let required: Vec<&str> =
            taken.iter().filter(|field| field.required).map(|field| field.name).collect();
        let mut schema = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if !open {
            schema["additionalProperties"] = json!(false);
        }
        schema
    }
}

fn nullable(mut schema: Value) -> Value {
    if schema["type"].is_string() && schema.get("enum").is_none() {
        schema["type"] = json!([schema["type"], "null"]);
        return schema;
    }
    json!({"anyOf": [schema, {"type": "null"}]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::schema::{optional, required};

    const SHAPE: Shape = Shape::Named(
        "Thing",
        &Shape::Object(&[
            required("name", &Shape::Name),
            optional("kind", &Shape::Nullable(&Shape::Word(&["a", "b"]))),
            optional("note", &Shape::Nullable(&Shape::Text { min: 1, max: 3 })),
            optional("shown", &Shape::ReadOnly),
        ]),
    );

    #[test]
    fn a_shape_is_a_schema() {
        let mut schemas = Schemas::default();
        assert_eq!(schemas.of(&SHAPE), json!({"$ref": "#/components/schemas/Thing"}));
        let thing = &schemas.named()["Thing"];
        assert_eq!((&thing["required"], &thing["additionalProperties"]), (&json!(["name"]), &json!(false)));
        assert_eq!(
            thing["properties"]["note"],
            json!({"type": ["string", "null"], "minLength": 1, "maxLength": 3})
        );
        assert_eq!(thing["properties"]["kind"]["anyOf"][0]["enum"], json!(["a", "b"]));
        assert_eq!(thing["properties"].get("shown"), None);
    }
}
