//! What the fleet decides.
