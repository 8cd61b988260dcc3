//! One source file: its imports, its number of lines and its functions, without tests.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

/// A path from the root of the crate, as segments: `crate::send::frame` is `["send", "frame"]`.
pub(crate) type ModulePath = Vec<String>;

/// A source file, as far as the layout is concerned.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// The paths into this crate that the file contains, with their lines.
    pub(crate) imports: Vec<(ModulePath, usize)>,
    /// Names that the file re-exports, with the paths of their definitions.
    pub(crate) reexports: Vec<(String, ModulePath)>,
    /// The modules of other files that are compiled for tests only.
    pub(crate) test_modules: Vec<ModulePath>,
    /// Lines without tests.
    pub(crate) lines: usize,
    /// Each function with its number of lines.
    pub(crate) functions: Vec<(String, usize)>,
}

impl Source {
    /// Parses the text of the file of `module`.
    pub(crate) fn parse(module: &[String], text: &str) -> syn::Result<Self> {
        let file = syn::parse_file(text)?;
        let children = file.items.iter().filter_map(|item| match item {
            Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
            _ => None,
        });
        let mut reader = Reader {
            module: module.to_owned(),
            children: children.collect(),
            source: Self::default(),
            test_lines: 0,
        };
        reader.visit_file(&file);
        let mut source = reader.source;
        source.lines = text.lines().count() - reader.test_lines;
        Ok(source)
    }
}

struct Reader {
    /// The current module, including inline modules.
    module: ModulePath,
    /// The modules that the file declares: a path can begin with their names.
    children: Vec<String>,
    source: Source,
    test_lines: usize,
}

impl Reader {
    /// Returns the path from the root of the crate, or `None` for a path into another crate.
    fn resolve(&self, segments: &[String]) -> Option<ModulePath> {
        let (first, rest) = segments.split_first()?;
        let mut path = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.module.clone(),
            "super" => self.module[..self.module.len().checked_sub(1)?].to_owned(),
            child if self.children.iter().any(|name| name == child) => {
                let mut path = self.module.clone();
                path.push(child.to_owned());
                path
            }
            _ => return None,
        };
        for segment in rest {
            if segment == "super" {
                path.pop()?;
            } else {
                path.push(segment.clone());
            }
        }
        Some(path)
    }

    fn mention(&mut self, segments: &[String], span: Span) {
        if let Some(path) = self.resolve(segments) {
            self.source.imports.push((path, span.start().line));
        }
    }

    fn function(&mut self, name: &syn::Ident, span: Span) {
        let lines = span.end().line - span.start().line + 1;
        self.source.functions.push((name.to_string(), lines));
    }

    /// Finds paths that begin with `crate` in the tokens of a macro, which are not parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) if ident == "crate" => {
                    let mut segments = vec!["crate".to_owned()];
                    while tokens.next_if(is_colon).is_some() {
                        if let Some(TokenTree::Ident(segment)) =
                            tokens.next_if(|token| matches!(token, TokenTree::Ident(_)))
                        {
                            segments.push(segment.to_string());
                        }
                    }
                    self.mention(&segments, ident.span());
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if attributes(item).iter().any(is_for_tests) {
            let span = item.span();
            self.test_lines += span.end().line - span.start().line + 1;
            if let Item::Mod(ItemMod {
                ident,
                content: None,
                ..
            }) = item
            {
                let path = [self.module.as_slice(), &[ident.to_string()]].concat();
                self.source.test_modules.push(path);
            }
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        let mut leaves = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut leaves);
        for (segments, name) in leaves {
            if is_reexport && let Some(path) = self.resolve(&segments) {
                self.source.reexports.push((name, path));
            } else {
                self.mention(&segments, item.span());
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect::<Vec<_>>();
        if segments.len() > 1 {
            self.mention(&segments, path.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.tokens(invocation.tokens.clone());
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, item.block.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !item.attrs.iter().any(is_for_tests) {
            self.function(&item.sig.ident, item.block.span());
            visit::visit_impl_item_fn(self, item);
        }
    }
}

fn is_colon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':')
}

/// Collects each path of a `use` item with the name that it introduces.
fn flatten(tree: &UseTree, prefix: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, leaves);
            prefix.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, prefix, leaves);
            }
        }
        UseTree::Name(name) if name.ident == "self" => leaves.push((prefix.clone(), String::new())),
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            leaves.push((
                [prefix.as_slice(), std::slice::from_ref(&name)].concat(),
                name,
            ));
        }
        UseTree::Rename(rename) => {
            let path = [prefix.as_slice(), &[rename.ident.to_string()]].concat();
            leaves.push((path, rename.rename.to_string()));
        }
        UseTree::Glob(_) => leaves.push((prefix.clone(), String::new())),
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| {
            list.tokens
                .clone()
                .into_iter()
                .any(|token| mentions_test(&token))
        })
}

fn mentions_test(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(ident) => ident == "test",
        TokenTree::Group(group) => group
            .stream()
            .into_iter()
            .any(|token| mentions_test(&token)),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Source {
        let module = ["shared", "map"].map(str::to_owned);
        Source::parse(&module, text).unwrap()
    }

    fn imports(text: &str) -> Vec<String> {
        let imports = parse(text).imports.into_iter();
        imports.map(|(path, _)| path.join("::")).collect()
    }

    #[test]
    fn each_way_to_name_another_file_is_an_import() {
        assert_eq!(
            imports("use crate::bus::{Bus, inner::Inner as I};"),
            ["bus::Bus", "bus::inner::Inner"]
        );
        assert_eq!(imports("use super::value;"), ["shared::value"]);
        assert_eq!(imports("use super::super::bus::*;"), ["bus"]);
        assert_eq!(
            imports("mod cache; use cache::Cache;"),
            ["shared::map::cache::Cache"]
        );
        assert_eq!(imports("fn f() { crate::bus::run() }"), ["bus::run"]);
        assert_eq!(imports("fn f(a: &crate::bus::Bus) {}"), ["bus::Bus"]);
        assert_eq!(
            imports("fn f() { select! { x = crate::bus::run() => {} } }"),
            ["bus::run"]
        );
        assert_eq!(
            imports("mod inline { use super::cache; }"),
            ["shared::map::cache"]
        );
    }

    #[test]
    fn other_crates_and_tests_are_no_imports() {
        assert!(imports("use std::fmt; fn f() { tokio::spawn(g()) }").is_empty());
        assert!(imports("#[cfg(test)] mod tests { use crate::bus::Bus; }").is_empty());
        assert!(imports("#[cfg(all(test, unix))] use crate::bus::Bus;").is_empty());
        assert!(imports("impl A { #[cfg(test)] fn f() { crate::bus::run() } }").is_empty());
    }

    #[test]
    fn what_is_passed_on_is_known_by_its_name() {
        let source = parse("mod cache; pub(crate) use cache::Cache as Table;");
        let [(name, path)] = source.reexports.as_slice() else {
            panic!("{:?}", source.reexports);
        };
        assert_eq!(
            (name.as_str(), path.join("::").as_str()),
            ("Table", "shared::map::cache::Cache")
        );
    }

    #[test]
    fn tests_do_not_count_as_lines() {
        let source = parse("fn f() {\n    g();\n}\n\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(
            (source.lines, source.functions),
            (4, vec![("f".to_owned(), 3)])
        );
    }
}
