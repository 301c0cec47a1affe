//! The contract between Ampoule's host and its guests.
//!
//! Both sides of the VM boundary must agree on numbers: ports, addresses, selectors. They are written down once, here, and
//! nowhere else. The crate has no dependencies and no `std`, so that a guest can link it as well as the host does.
//!
//! - [`abi`]: how the guest asks the host for something.
//! - [`layout`]: the guest's physical and virtual memory map, its segment selectors and the offsets inside the kernel image.
//! - [`image`] (feature `image`): the ring-0 code as bytes. A few dozen plain integer instructions are all that ever runs at CPL0.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

pub mod abi;
#[cfg(feature = "image")]
pub mod image;
pub mod layout;
