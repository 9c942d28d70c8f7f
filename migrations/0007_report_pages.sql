DROP INDEX "udm_sync"."files_run";--> statement-breakpoint
CREATE INDEX "files_run" ON "udm_sync"."files" USING btree ("run_id","id");