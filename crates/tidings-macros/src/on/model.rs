//! A function that can be collected.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{
    Error, FnArg, GenericParam, ItemFn, LitStr, Result, ReturnType, Signature, Token, Type,
    parse_quote,
};

use crate::event::event_name;

/// The payload, and four things taken from the context.
const MAX_ARGUMENTS: usize = 5;

/// An async function, and what it hears.
pub(crate) struct Model {
    pub(crate) function: ItemFn,
    /// `None`: the events of the payload's type.
    pub(crate) name: Option<LitStr>,
    pub(crate) payload: Type,
    pub(crate) taken: Vec<Type>,
    pub(crate) outcome: Type,
}

pub(crate) fn parse(arguments: TokenStream, item: TokenStream) -> Result<Model> {
    let Arguments { name } = syn::parse2(arguments)?;
    parse_function(name, item, "tidings::on")
}

/// A function under the attribute that is called so.
pub(crate) fn parse_function(
    name: Option<LitStr>,
    item: TokenStream,
    attribute: &str,
) -> Result<Model> {
    let function: ItemFn = syn::parse2(item.clone()).map_err(|_| {
        Error::new_spanned(
            item,
            format!("`#[{attribute}]` marks a handler: an `async fn` that takes the payload"),
        )
    })?;
    check(&function.sig)?;
    let mut types = types(&function.sig)?.into_iter();
    let Some(payload) = types.next() else {
        return Err(Error::new(
            function.sig.paren_token.span.join(),
            "a handler takes the payload as its first argument: `(): ()` for an event without one",
        ));
    };
    let outcome = match &function.sig.output {
        ReturnType::Default => parse_quote! { () },
        // It cannot be written down, only inferred.
        ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)) => parse_quote! { _ },
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    Ok(Model {
        name,
        payload,
        taken: types.collect(),
        outcome,
        function,
    })
}

struct Arguments {
    name: Option<LitStr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            return Ok(Self { name: None });
        }
        let name = event_name(
            input,
            "`#[tidings::on(\"a.name\")]`, or `#[tidings::on]` alone",
        )?;
        let _: Option<Token![,]> = input.parse()?;
        if input.is_empty() {
            return Ok(Self { name: Some(name) });
        }
        Err(input.error("a handler hears one name: nothing follows it in `#[tidings::on(…)]`"))
    }
}

fn check(signature: &Signature) -> Result<()> {
    if signature.asyncness.is_none() {
        return Err(Error::new(
            signature.fn_token.span,
            "a handler is an `async fn`",
        ));
    }
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new(
            unsafety.span,
            "the bus calls handlers by itself, so a handler cannot be `unsafe`",
        ));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(
            abi,
            "a handler is an `async fn` of Rust: take `extern` away",
        ));
    }
    let generic = signature.generics.params.first();
    if let Some(generic) = generic {
        let what = match generic {
            GenericParam::Lifetime(_) => "a handler owns what it takes: take the lifetime away",
            GenericParam::Type(_) | GenericParam::Const(_) => {
                "a collected handler takes one type of payload: write the type instead of a generic"
            }
        };
        return Err(Error::new_spanned(generic, what));
    }
    Ok(())
}

/// The types of the arguments.
fn types(signature: &Signature) -> Result<Vec<Type>> {
    if let Some(surplus) = signature.inputs.iter().nth(MAX_ARGUMENTS) {
        return Err(Error::new_spanned(
            surplus,
            "a handler takes the payload and up to four of `Context`, `State<T>`, `Bus`",
        ));
    }
    signature.inputs.iter().map(argument_type).collect()
}

fn argument_type(argument: &FnArg) -> Result<Type> {
    let ty = match argument {
        FnArg::Typed(argument) => &*argument.ty,
        FnArg::Receiver(receiver) => {
            return Err(Error::new(
                receiver.span(),
                "a method cannot be collected: nobody knows which `self`; use a function and `State<T>`",
            ));
        }
    };
    match ty {
        Type::Reference(_) => Err(Error::new_spanned(
            ty,
            "a handler owns what it takes: `String` instead of `&str`, `T` instead of `&T`",
        )),
        Type::ImplTrait(_) => Err(Error::new_spanned(
            ty,
            "a collected handler takes one type of payload: write the type instead of `impl`",
        )),
        _ => Ok(ty.clone()),
    }
}
