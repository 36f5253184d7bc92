//! Messages and services made from `proto/` by the test `generated`. Modules follow the protobuf packages,
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
        pub mod fulcio {
            pub mod v2 {
                include!("generated/dev.sigstore.fulcio.v2.rs");
            }
            pub mod v1beta {
                include!("generated/dev.sigstore.fulcio.v1beta.rs");
            }
        }
    }
}

pub mod google {
    pub mod api {
        include!("generated/google.api.rs");
    }
}

pub mod grpc {
    pub mod health {
        pub mod v1 {
            include!("generated/grpc.health.v1.rs");
        }
    }
}
