COMMENT ON COLUMN udm_sync.runs.pruned_at IS 'When its files and history were pruned here; the row stays, so that the window counts as done';
--> statement-breakpoint
-- Plans that read an index alone need the visibility map, and that is vacuum's work: a fiftieth of new rows is enough to wait for.
ALTER TABLE udm_sync.runs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
--> statement-breakpoint
ALTER TABLE udm_sync.files SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
