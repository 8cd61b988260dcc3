// Names, and whether they are valid: the macro crate has the same rule, and its test includes this file.
[
    (String::new(), false),
    ("a".to_owned(), true),
    ("user.renamed".to_owned(), true),
    ("A-z_0:9".to_owned(), true),
    ("a b".to_owned(), false),
    ("größe".to_owned(), false),
    ("a/b".to_owned(), false),
    ("a".repeat(128), true),
    ("a".repeat(129), false),
]
