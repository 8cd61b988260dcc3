//! The names of the changes that can break a contract, and what to do instead.

use serde::{Deserialize, Serialize};

use crate::contract::obstacle::Obstacle;

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    FieldAddedRequired,
    FieldRemovedRequired,
    FieldRenamed,
    TypeChanged,
    NumberNarrowed,
    NumberWidened,
    NullAdded,
    NullRemoved,
    ValueAdded,
    ValueRemoved,
    VariantChanged,
    UnknownDenied,
    LengthChanged,
    AnythingNarrowed,
    AnythingWidened,
    EventAdded,
    EventRemoved,
    EventRenamed,
    ResponseChanged,
    ValueChanged,
    NoSchema,
}

/// The processes that cannot read what the others write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    NewReadsOld,
    OldReadsNew,
}

impl Rule {
    /// Returns the rule of an obstacle.
    pub(super) fn of(obstacle: &Obstacle, direction: Direction) -> Self {
        let by = |new_reads_old, old_reads_new| match direction {
            Direction::NewReadsOld => new_reads_old,
            Direction::OldReadsNew => old_reads_new,
        };
        match obstacle {
            Obstacle::Missing { .. } => by(Self::FieldAddedRequired, Self::FieldRemovedRequired),
            Obstacle::Denied { .. } => Self::UnknownDenied,
            Obstacle::Anything => by(Self::AnythingNarrowed, Self::AnythingWidened),
            Obstacle::Range => by(Self::NumberNarrowed, Self::NumberWidened),
            Obstacle::Texts { .. } => by(Self::ValueRemoved, Self::ValueAdded),
            Obstacle::Length => Self::LengthChanged,
            Obstacle::Part { .. }
            | Obstacle::Twice { .. }
            | Obstacle::Type
            | Obstacle::Constraint { .. }
            | Obstacle::NumberKeys => Self::TypeChanged,
        }
    }

    /// Returns the rule of `null` that is written and not read.
    pub(super) fn of_null(direction: Direction) -> Self {
        match direction {
            Direction::NewReadsOld => Self::NullRemoved,
            Direction::OldReadsNew => Self::NullAdded,
        }
    }

    /// Returns the name of the rule, as in an exception.
    pub(crate) fn name(self) -> String {
        let name = serde_json::to_value(self).ok();
        let name = name.as_ref().and_then(serde_json::Value::as_str);
        name.unwrap_or_default().to_owned()
    }

    /// Returns how the same can be had without a break.
    pub(crate) fn instead(self) -> &'static str {
        match self {
            Self::FieldAddedRequired => "give it `#[serde(default)]`, or make it an `Option`",
            Self::FieldRemovedRequired => {
                "give it a default in all readers, and remove it a release later"
            }
            Self::FieldRenamed => {
                "add the new field beside the old one, or let all readers take both names first: \
                 `#[serde(alias = \"…\")]`"
            }
            Self::TypeChanged => "add a field or an event with the new type",
            Self::NumberNarrowed => "keep the type, or add a field with the new one",
            Self::NumberWidened => {
                "widen the type of all readers, and write such numbers a release later"
            }
            Self::NullAdded => {
                "give readers `#[serde(default)]`, and leave `None` out: \
                 `#[serde(skip_serializing_if = \"Option::is_none\")]`"
            }
            Self::NullRemoved => "keep the `Option` until no process writes `None`",
            Self::ValueAdded => {
                "let all readers take unknown values first, with `#[serde(other)]`, or add an event"
            }
            Self::ValueRemoved => "keep the value until no process writes it",
            Self::VariantChanged => {
                "let all readers know the variant before one is written, and keep it until none is"
            }
            Self::UnknownDenied => "remove `deny_unknown_fields` from all readers first",
            Self::LengthChanged => "add a field with the new length",
            Self::AnythingNarrowed => "read any value as before, or add a field with the type",
            Self::AnythingWidened => "write the old type, or add a field for other values",
            Self::EventRemoved => "stop sending it, and remove the handlers a release later",
            Self::EventRenamed => "handle both names for a release, and send the old one in it",
            Self::ResponseChanged => "add a request with the new response",
            Self::ValueChanged => "store the new form under a new name",
            Self::EventAdded => "handle it a release before it is sent",
            Self::NoSchema => "derive `JsonSchema`, or say `opaque` if nothing is to be checked",
        }
    }
}
