//! The page: two forms, and the result of the last request.

/// Renders the page.
pub(crate) fn page(instance: &str, result: &str) -> String {
    format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Save and search</title>
<style>body {{ font: 16px system-ui; max-width: 40em; margin: 2em auto }}</style>
<h1>Save and search</h1>
<form action="/save-data" method="post">
  <input name="key" placeholder="key" required> <input name="value" placeholder="value">
  <button>Save</button>
</form>
<form action="/search" method="post">
  <input name="key" placeholder="key" required> <button>Search</button>
</form>
<p>{}</p>
<footer>answered by instance {}</footer>
</html>
"#,
        escaped(result),
        escaped(instance),
    )
}

/// Escapes what has a meaning in HTML.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, letter| {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
        escaped
    })
}
