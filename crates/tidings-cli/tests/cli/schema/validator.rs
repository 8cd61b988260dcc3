//! A validator of the keywords of JSON Schema that the schema uses. It also rejects fields that the
//! schema does not have, because the book must name all of them; users accept further fields.

use serde_json::Value;

/// Keywords that describe.
const ABOUT: [&str; 2] = ["title", "description"];

/// Returns what is wrong with a value.
pub(super) fn errors(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    validate(root, schema, value, "", &mut errors);
    errors
}

fn validate(root: &Value, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
    for (keyword, wanted) in schema.as_object().unwrap() {
        let is_met = match &**keyword {
            "$ref" => {
                let pointer = wanted.as_str().unwrap().trim_start_matches('#');
                validate(root, root.pointer(pointer).unwrap(), value, at, errors);
                true
            }
            "anyOf" => wanted.as_array().unwrap().iter().any(|schema| {
                let mut errors = Vec::new();
                validate(root, schema, value, at, &mut errors);
                errors.is_empty()
            }),
            "properties" => {
                fields(root, schema, value, at, errors);
                true
            }
            "additionalProperties" if schema.get("properties").is_none() => {
                fields(root, schema, value, at, errors);
                true
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(root, wanted, item, &format!("{at}[{number}]"), errors);
                }
                true
            }
            "required" => {
                for field in wanted.as_array().unwrap() {
                    let field = field.as_str().unwrap();
                    if value.is_object() && value.get(field).is_none() {
                        errors.push(format!("{at}: `{field}` is missing"));
                    }
                }
                true
            }
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|wanted| is_of(wanted, value)),
                wanted => is_of(wanted, value),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => !value.is_number() || value.as_f64() >= wanted.as_f64(),
            "minLength" => !value.is_string() || length(value) >= wanted.as_u64(),
            "maxLength" => !value.is_string() || length(value) <= wanted.as_u64(),
            "additionalProperties" => true,
            keyword if ABOUT.contains(&keyword) => true,
            other => panic!("the validator does not know the keyword `{other}`"),
        };
        if !is_met {
            errors.push(format!("{at}: {value} does not have `{keyword}` {wanted}"));
        }
    }
}

/// Validates each field of an object.
fn fields(root: &Value, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
    for (name, field) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        let others = &schema["additionalProperties"];
        match schema["properties"].get(name) {
            Some(schema) => validate(root, schema, field, &at, errors),
            None if others.is_object() => validate(root, others, field, &at, errors),
            None if *others == true => {}
            None => errors.push(format!("{at}: the schema does not have this field")),
        }
    }
}

/// Returns the number of characters of a text.
fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn is_of(wanted: &Value, value: &Value) -> bool {
    match wanted.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("there is no type `{other}`"),
    }
}
