//! For stores of tests that hand on to another what they do not change: support for tests.

/// The calls of [`Store`](crate::store::Store) for blobs that come in pieces, handed on to a field.
macro_rules! forward_assemblies {
    ($field:tt) => {
        fn assemble(
            &self,
            id: &crate::model::BlobId,
            size: u64,
            pieces: crate::store::Pieces,
        ) -> Result<std::sync::Arc<dyn crate::store::Assembly>, crate::store::StoreError> {
            self.$field.assemble(id, size, pieces)
        }
        fn reassemble(
            &self,
            id: &crate::model::BlobId,
            size: u64,
        ) -> Result<std::sync::Arc<dyn crate::store::Assembly>, crate::store::StoreError> {
            self.$field.reassemble(id, size)
        }
        fn abandon(&self, id: &crate::model::BlobId) -> Result<(), crate::store::StoreError> {
            self.$field.abandon(id)
        }
        fn assemblies(
            &self,
            after: Option<&crate::model::BlobId>,
            limit: usize,
        ) -> Result<Vec<crate::model::BlobId>, crate::store::StoreError> {
            self.$field.assemblies(after, limit)
        }
    };
}

pub(crate) use forward_assemblies;
