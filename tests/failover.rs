//! A master with sentinels that fails over, crashes and comes back.

mod failovers;
mod fake_sentinel;
mod faulty_sentinels;
mod start;
mod wait;
