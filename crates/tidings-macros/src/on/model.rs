//! The model of a handler function.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{
    Error, FnArg, GenericParam, ItemFn, LitStr, Result, ReturnType, Safety, Signature, Token, Type,
    parse_quote,
};

use crate::options::event_name;

/// The payload, and four arguments from the context.
const MAX_ARGUMENTS: usize = 5;

/// A valid handler.
pub(crate) struct Model {
    pub(crate) function: ItemFn,
    /// `None` for the events of the payload's type.
    pub(crate) name: Option<LitStr>,
    pub(crate) payload: Type,
    /// The types of the arguments from the context.
    pub(crate) extracted: Vec<Type>,
    pub(crate) outcome: Type,
}

pub(crate) fn parse(arguments: TokenStream, item: TokenStream) -> Result<Model> {
    let Arguments { name } = syn::parse2(arguments)?;
    parse_function(name, item, "tidings::on")
}

/// Parses a function that is marked with `attribute`.
pub(crate) fn parse_function(
    name: Option<LitStr>,
    item: TokenStream,
    attribute: &str,
) -> Result<Model> {
    let function: ItemFn = syn::parse2(item.clone()).map_err(|_| {
        Error::new_spanned(
            item,
            format!("`#[{attribute}]` expects a handler: an `async fn` that takes the payload"),
        )
    })?;
    check(&function.sig)?;
    let mut types = argument_types(&function.sig)?.into_iter();
    let Some(payload) = types.next() else {
        return Err(Error::new(
            function.sig.paren_token.span.join(),
            "a handler takes the payload as its first argument; without a payload, write `(): ()`",
        ));
    };
    let outcome = match &function.sig.output {
        ReturnType::Default => parse_quote! { () },
        // `impl Trait` cannot be named, only inferred.
        ReturnType::Type(_, ty) if has_impl(ty.to_token_stream()) => parse_quote! { _ },
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    Ok(Model {
        name,
        payload,
        extracted: types.collect(),
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
        Err(input.error("unexpected argument: `#[tidings::on(…)]` takes one event name"))
    }
}

fn check(signature: &Signature) -> Result<()> {
    if signature.asyncness.is_none() {
        return Err(Error::new(
            signature.fn_token.span,
            "a handler must be an `async fn`: add `async`",
        ));
    }
    if let Safety::Unsafe(unsafety) = &signature.safety {
        return Err(Error::new(
            unsafety.span,
            "a handler cannot be `unsafe`, because the bus calls it: remove `unsafe`",
        ));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(
            abi,
            "a handler cannot be `extern`: remove the ABI",
        ));
    }
    let generic = signature.generics.params.first();
    if let Some(generic) = generic {
        let message = match generic {
            GenericParam::Lifetime(_) => "a handler owns its arguments: remove the lifetime",
            GenericParam::Type(_) | GenericParam::Const(_) => {
                "a registered handler cannot be generic: write the type of the payload"
            }
        };
        return Err(Error::new_spanned(generic, message));
    }
    Ok(())
}

/// Returns whether a type is or contains an `impl Trait`.
fn has_impl(ty: TokenStream) -> bool {
    ty.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Group(group) => has_impl(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// Returns the types of the arguments.
fn argument_types(signature: &Signature) -> Result<Vec<Type>> {
    if let Some(surplus) = signature.inputs.iter().nth(MAX_ARGUMENTS) {
        return Err(Error::new_spanned(
            surplus,
            "too many arguments: a handler takes the payload and up to four of `Context`, `State<T>`, `Bus`",
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
                "a handler cannot take `self`: use a function, and `State<T>` for the data",
            ));
        }
    };
    match ty {
        Type::Reference(_) => Err(Error::new_spanned(
            ty,
            "a handler owns its arguments: write `String` instead of `&str`, `T` instead of `&T`",
        )),
        Type::ImplTrait(_) => Err(Error::new_spanned(
            ty,
            "a registered handler cannot be generic: write the type of the payload instead of `impl`",
        )),
        _ => Ok(ty.clone()),
    }
}
