//! Limits on failures: token buckets for each address, link and account.
