//! What a guest finds in its processor. A program looks once, when it starts, and from then on uses what it found: so who takes a running
//! program elsewhere has to know.
//!
//! Each feature that gives a program instructions has a place in a word. The places are those of snapshot files: a new feature goes to the end.

use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

use super::device::Device;

/// A register that `cpuid` answers in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Eax,
    Ebx,
    Ecx,
    Edx,
}

use Answer::{Eax, Ebx, Ecx, Edx};

const EXTENDED: u32 = 0x8000_0001;

/// Name in `/proc/cpuinfo`, leaf, subleaf, register, bit: Intel SDM vol. 2, CPUID; AMD's manual, vol. 3, appendix E.
const FEATURES: [(&str, u32, u32, Answer, u32); 58] = [
    ("pni", 1, 0, Ecx, 0),
    ("pclmulqdq", 1, 0, Ecx, 1),
    ("ssse3", 1, 0, Ecx, 9),
    ("fma", 1, 0, Ecx, 12),
    ("cx16", 1, 0, Ecx, 13),
    ("sse4_1", 1, 0, Ecx, 19),
    ("sse4_2", 1, 0, Ecx, 20),
    ("movbe", 1, 0, Ecx, 22),
    ("popcnt", 1, 0, Ecx, 23),
    ("aes", 1, 0, Ecx, 25),
    ("xsave", 1, 0, Ecx, 26),
    ("avx", 1, 0, Ecx, 28),
    ("f16c", 1, 0, Ecx, 29),
    ("rdrand", 1, 0, Ecx, 30),
    ("fsgsbase", 7, 0, Ebx, 0),
    ("bmi1", 7, 0, Ebx, 3),
    ("avx2", 7, 0, Ebx, 5),
    ("bmi2", 7, 0, Ebx, 8),
    ("rtm", 7, 0, Ebx, 11),
    ("avx512f", 7, 0, Ebx, 16),
    ("avx512dq", 7, 0, Ebx, 17),
    ("rdseed", 7, 0, Ebx, 18),
    ("adx", 7, 0, Ebx, 19),
    ("avx512ifma", 7, 0, Ebx, 21),
    ("clflushopt", 7, 0, Ebx, 23),
    ("clwb", 7, 0, Ebx, 24),
    ("avx512cd", 7, 0, Ebx, 28),
    ("sha_ni", 7, 0, Ebx, 29),
    ("avx512bw", 7, 0, Ebx, 30),
    ("avx512vl", 7, 0, Ebx, 31),
    ("avx512vbmi", 7, 0, Ecx, 1),
    ("pku", 7, 0, Ecx, 3),
    ("avx512_vbmi2", 7, 0, Ecx, 6),
    ("gfni", 7, 0, Ecx, 8),
    ("vaes", 7, 0, Ecx, 9),
    ("vpclmulqdq", 7, 0, Ecx, 10),
    ("avx512_vnni", 7, 0, Ecx, 11),
    ("avx512_bitalg", 7, 0, Ecx, 12),
    ("avx512_vpopcntdq", 7, 0, Ecx, 14),
    ("rdpid", 7, 0, Ecx, 22),
    ("movdiri", 7, 0, Ecx, 27),
    ("movdir64b", 7, 0, Ecx, 28),
    ("avx512_vp2intersect", 7, 0, Edx, 8),
    ("serialize", 7, 0, Edx, 14),
    ("avx_vnni", 7, 1, Eax, 4),
    ("avx512_bf16", 7, 1, Eax, 5),
    ("xsaveopt", 0xd, 1, Eax, 0),
    ("xsavec", 0xd, 1, Eax, 1),
    ("xgetbv1", 0xd, 1, Eax, 2),
    ("lahf_lm", EXTENDED, 0, Ecx, 0),
    ("abm", EXTENDED, 0, Ecx, 5),
    ("sse4a", EXTENDED, 0, Ecx, 6),
    ("3dnowprefetch", EXTENDED, 0, Ecx, 8),
    ("xop", EXTENDED, 0, Ecx, 11),
    ("fma4", EXTENDED, 0, Ecx, 16),
    ("tbm", EXTENDED, 0, Ecx, 21),
    ("nx", EXTENDED, 0, Edx, 20),
    ("rdtscp", EXTENDED, 0, Edx, 27),
];

/// All places that have a feature.
const KNOWN: u64 = (1 << FEATURES.len()) - 1;
const _: () = assert!(FEATURES.len() < 64, "they have a bit each");

/// A set of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct GuestFeatures(u64);

impl GuestFeatures {
    /// What guests find on this host: what KVM offers them.
    pub(crate) fn found() -> Self {
        static FOUND: OnceLock<GuestFeatures> = OnceLock::new();
        // Without a KVM there are no guests.
        let offered = || Device::get().map_or_else(|_| Self::of_processor(), Self::offered);
        *FOUND.get_or_init(offered)
    }

    fn offered(device: &Device) -> Self {
        let entries = device.cpuid().as_slice();
        Self::read(|leaf, subleaf| {
            let entry = entries.iter().find(|entry| entry.function == leaf && entry.index == subleaf);
            entry.map_or([0; 4], |entry| [entry.eax, entry.ebx, entry.ecx, entry.edx])
        })
    }

    /// What works on this host: what its processor has, whether guests find it or not.
    pub(crate) fn of_processor() -> Self {
        Self::read(|leaf, subleaf| {
            let highest = __cpuid(leaf & 0x8000_0000).eax;
            let highest_subleaf = if leaf == 7 { __cpuid_count(7, 0).eax } else { subleaf };
            if leaf > highest || subleaf > highest_subleaf {
                return [0; 4];
            }
            let answer = __cpuid_count(leaf, subleaf);
            [answer.eax, answer.ebx, answer.ecx, answer.edx]
        })
    }

    fn read(cpuid: impl Fn(u32, u32) -> [u32; 4]) -> Self {
        let has = |leaf, subleaf, register, bit| {
            let [eax, ebx, ecx, edx] = cpuid(leaf, subleaf);
            let answer = match register {
                Eax => eax,
                Ebx => ebx,
                Ecx => ecx,
                Edx => edx,
            };
            answer >> bit & 1 == 1
        };
        let places = (0..).zip(&FEATURES);
        Self(places.fold(0, |set, (place, &(_, leaf, subleaf, register, bit))| {
            set | u64::from(has(leaf, subleaf, register, bit)) << place
        }))
    }

    /// Those of a word; none if it has places that are nobody's.
    pub(crate) fn from_bits(bits: u64) -> Result<Self, UnknownFeatures> {
        if bits & !KNOWN == 0 { Ok(Self(bits)) } else { Err(UnknownFeatures { bits: bits & !KNOWN }) }
    }

    /// As a word.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Their names.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        (0..).zip(&FEATURES).filter(move |(place, _)| self.0 >> *place & 1 == 1).map(|(_, &(name, ..))| name)
    }

    /// Those that are not in `others`.
    pub(crate) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// True if pages can be kept from being executed.
    pub(crate) fn has_no_execute(self) -> bool {
        self.names().any(|name| name == "nx")
    }
}

/// Places that no feature has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownFeatures {
    pub(crate) bits: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_has_a_place_and_a_name_of_its_own() {
        let mut names: Vec<_> = GuestFeatures(KNOWN).names().collect();
        assert_eq!(names.len(), FEATURES.len());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FEATURES.len());
        let places: std::collections::HashSet<_> =
            FEATURES.iter().map(|&(_, leaf, subleaf, register, bit)| (leaf, subleaf, register as u8, bit)).collect();
        assert_eq!(places.len(), FEATURES.len());
    }

    #[test]
    fn the_processor_has_what_the_standard_library_finds() {
        let here = GuestFeatures::of_processor();
        let has = |wanted: &str| here.names().any(|name| name == wanted);
        assert_eq!(has("avx2"), is_x86_feature_detected!("avx2"));
        assert_eq!(has("sse4_2"), is_x86_feature_detected!("sse4.2"));
        assert_eq!(has("bmi2"), is_x86_feature_detected!("bmi2"));
        assert_eq!(has("abm"), is_x86_feature_detected!("lzcnt"));
    }

    #[test]
    fn a_place_that_is_nobodys_is_refused() {
        assert_eq!(GuestFeatures::from_bits(KNOWN), Ok(GuestFeatures(KNOWN)));
        assert_eq!(GuestFeatures::from_bits(1 << 63 | 1), Err(UnknownFeatures { bits: 1 << 63 }));
    }

    #[test]
    fn what_is_missing_is_named() {
        let wanted = GuestFeatures(0b1011);
        assert_eq!(wanted.without(GuestFeatures(0b0110)).names().collect::<Vec<_>>(), ["pni", "fma"]);
        assert!(wanted.without(wanted).names().next().is_none());
    }
}
