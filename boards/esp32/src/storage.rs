//! The settings' place in flash: the partition `settings` of `partitions.csv`.

use esp_bootloader_esp_idf::partitions::{
    Error, PARTITION_TABLE_MAX_LEN, PartitionEntry, read_partition_table,
};
use esp_storage::{Flash as Chip, FlashStorage};
use wirelet_app::configuration::{Flash, RECORD, belongs};

/// The partition; `None` when there is none.
pub(crate) struct Storage {
    flash: FlashStorage<'static>,
    partition: Option<PartitionEntry>,
}

impl Storage {
    /// Looks for the partition.
    pub(crate) fn new(chip: Chip<'static>) -> Self {
        let mut flash = FlashStorage::new(chip);
        let partition = find(&mut flash);
        Self { flash, partition }
    }

    /// Whether there is a partition.
    pub(crate) const fn is_there(&self) -> bool {
        self.partition.is_some()
    }
}

fn find(flash: &mut FlashStorage<'_>) -> Option<PartitionEntry> {
    let mut table = [0; PARTITION_TABLE_MAX_LEN];
    let table = read_partition_table(flash, &mut table).ok()?;
    table.iter().find(|entry| belongs(entry.label_as_str(), entry.len() / FlashStorage::SECTOR_SIZE))
}

fn offset(sector: usize) -> u32 {
    sector as u32 * FlashStorage::SECTOR_SIZE
}

impl Flash for Storage {
    type Error = Error;

    fn read(&mut self, sector: usize, into: &mut [u8; RECORD]) -> Result<(), Error> {
        let partition = self.partition.ok_or(Error::Invalid)?;
        partition.as_flash_region(&mut self.flash).read(offset(sector), into)
    }

    fn replace(&mut self, sector: usize, from: &[u8; RECORD]) -> Result<(), Error> {
        let partition = self.partition.ok_or(Error::Invalid)?;
        // Erases the sector, too.
        partition.as_flash_region(&mut self.flash).write(offset(sector), from)
    }
}
