//! Messages and services made from `proto/` by the test `generated_code_is_current`. Modules follow the protobuf packages,
//! because the generated code refers to its neighbours by them.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "generated"
)]

pub mod dev {
    pub mod sigstore {
        pub mod rekor {
            pub mod v1 {
                include!("generated/dev.sigstore.rekor.v1.rs");
            }
            pub mod v2 {
                include!("generated/dev.sigstore.rekor.v2.rs");
            }
        }
    }
}

pub mod google {
    pub mod api {
        include!("generated/google.api.rs");
    }
}

pub mod io {
    pub mod intoto {
        include!("generated/io.intoto.rs");
    }
}
