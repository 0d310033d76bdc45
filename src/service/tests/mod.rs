//! The service on the real parts, with every fault that can be thrown at it.

mod accounts;
mod administration;
mod away;
mod chunks;
mod clock;
mod copies;
mod crowds;
mod dedup;
mod downloads;
mod fault_metadata;
mod faults;
mod handovers;
mod lease_cases;
mod leases;
mod limits;
mod links;
mod owners;
mod redirects;
mod short_sessions;
mod sweeps;
mod users;
mod world;
mod zips;
