//! A master with sentinels that moves, dies and comes back, and what a bus makes of it.

mod failovers;
mod fake_sentinel;
mod faulty_sentinels;
mod start;
mod wait;
