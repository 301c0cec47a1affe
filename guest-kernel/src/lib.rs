//! The contract between Ampoule's host and its guests.
//!
//! Both sides of the VM boundary must agree on numbers: ports, addresses, selectors. They are written down once, here, and
//! nowhere else. The crate has no dependencies and no `std`, so that a guest can link it as well as the host does.
//!
//! - [`abi`]: how the guest asks the host for something.
//! - [`call`]: the calls that only a guest makes that knows about Ampoule; [`ring`]: the same without exits.
//! - [`note`] and [`schema`]: what such a guest offers and needs, readable without running it.
//! - [`layout`]: the guest's physical and virtual memory map, its segment selectors and the offsets inside the kernel image.
//! - [`vdso`]: functions that tell the time without asking the host, for every program.
//! - `image` (feature `image`): the ring-0 code as bytes. A few dozen plain integer instructions are all that ever runs at CPL0.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

#[cfg(all(feature = "image", not(all(target_os = "linux", target_arch = "x86_64"))))]
compile_error!(
    "Ampoule's host side runs on Linux x86-64 only: its guests are x86-64 programs and its virtual machines are KVM's"
);

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(all(feature = "std", not(test)))]
extern crate std;

pub mod abi;
pub mod call;
pub mod fuzz;
#[cfg(all(feature = "image", target_arch = "x86_64"))]
pub mod image;
pub mod layout;
pub mod note;
pub mod ring;
pub mod schema;
pub mod vdso;
