//! The ways in which a guest and its host talk, each for what it is best at.
//!
//! ```text
//! hypercall   Ampoule's own calls: synchronous, one exit for each crossing
//! table       what the guest says that it exports and imports
//! posted      events: stores that KVM notes down, found at the next exit, in order
//! parking     where a guest that is called through the ring sleeps when it has nothing to do
//! ```
//! What the numbers and bytes mean is the contract's: `ampoule_kernel::call` and `ampoule_kernel::ring`. Nothing here runs a guest; that is
//! the sandbox's business.

pub(crate) mod hypercall;
pub(crate) mod parking;
pub(crate) mod posted;
pub(crate) mod table;
