//! `#[tidings::shared]`, `#[tidings::map]` and `tidings::counter!`: declarations for the contract.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, Error, Generics, Item, LitStr, Result};

use crate::event::{About, declared, schema_of, with_schema};
use crate::options::{Options, shared_name};

/// The kind of a declaration.
#[derive(Clone, Copy)]
pub(crate) enum Shared {
    Value,
    Map,
}

impl Shared {
    fn attribute(self) -> &'static str {
        match self {
            Self::Value => "tidings::shared",
            Self::Map => "tidings::map",
        }
    }

    /// The method that declares it.
    fn method(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Map => "map",
        }
    }
}

/// Expands an attribute on the type of a value.
pub(crate) fn shared(
    shared: Shared,
    arguments: TokenStream,
    item: TokenStream,
) -> Result<TokenStream> {
    let attribute = shared.attribute();
    let parse = |input: ParseStream<'_>| Arguments::parse(input, attribute);
    let Arguments { name, options } = parse.parse2(arguments)?;
    let item: Item = syn::parse2(item)?;
    let (attributes, ident, generics) = match &item {
        Item::Struct(item) => (&item.attrs, &item.ident, &item.generics),
        Item::Enum(item) => (&item.attrs, &item.ident, &item.generics),
        Item::Type(item) => (&item.attrs, &item.ident, &item.generics),
        other => {
            return Err(Error::new_spanned(
                other,
                format!(
                    "`#[{attribute}]` expects the type of the value: a struct, an enum, or an alias \
                     such as `type Limit = u64;`"
                ),
            ));
        }
    };
    reject_generics(generics)?;
    let about = About::without_fields(attributes, &options);
    let type_name = quote! { ::core::any::type_name::<#ident>() };
    let declared = declared(&name.value(), &type_name, &about, &schema_of(ident));
    let method = format_ident!("{}", shared.method());
    let is_cfg = |attribute: &&Attribute| attribute.path().is_ident("cfg");
    let cfgs = attributes.iter().filter(is_cfg);
    let collect = collect(&quote! { declarations.#method(#declared) });
    Ok(quote! { #item #(#cfgs)* #collect })
}

/// Expands the declaration of a counter.
pub(crate) fn counter(input: TokenStream) -> Result<TokenStream> {
    let parse = |input: ParseStream<'_>| Arguments::parse(input, "tidings::counter");
    let Arguments { name, options } = parse.parse2(input)?;
    let about = About::without_fields(&[], &options);
    let none = quote! { ::core::option::Option::None };
    let declared = declared(&name.value(), &quote! { "" }, &about, &none);
    Ok(collect(&quote! { declarations.counter(#declared) }))
}

fn collect(declaration: &TokenStream) -> TokenStream {
    with_schema(&quote! {
        ::tidings::__private::inventory::submit! {
            ::tidings::__private::Collect::new(|declarations| #declaration)
        }
    })
}

fn reject_generics(generics: &Generics) -> Result<()> {
    if generics.params.is_empty() {
        return Ok(());
    }
    Err(Error::new_spanned(
        &generics.params,
        "a shared value has one type: declare an alias without generics, such as \
         `type Limits = Table<u64>;`",
    ))
}

struct Arguments {
    name: LitStr,
    options: Options,
}

impl Arguments {
    fn parse(input: ParseStream<'_>, attribute: &str) -> Result<Self> {
        let instead = match attribute {
            "tidings::counter" => "`tidings::counter!(\"a.name\")`".to_owned(),
            _ => format!("`#[{attribute}(\"a.name\")]`"),
        };
        if input.is_empty() {
            return Err(input.error(format!("missing name: write {instead}")));
        }
        let name = shared_name(input, &instead)?;
        let options = Options::after_name(input, attribute)?;
        Ok(Self { name, options })
    }
}
