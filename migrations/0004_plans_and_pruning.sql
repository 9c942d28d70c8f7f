DROP INDEX "udm_sync"."runs_definition_window_to";--> statement-breakpoint
DROP INDEX "udm_sync"."runs_failed";--> statement-breakpoint
DROP INDEX "udm_sync"."runs_unfinished";--> statement-breakpoint
ALTER TABLE "udm_sync"."runs" ADD COLUMN "pruned_at" timestamp (3) with time zone;--> statement-breakpoint
CREATE INDEX "runs_coverage" ON "udm_sync"."runs" USING btree ("definition","window_from","window_to") WHERE origin <> 'adopt';--> statement-breakpoint
CREATE INDEX "runs_scheduled" ON "udm_sync"."runs" USING btree ("definition","window_from","window_to") WHERE origin = 'schedule';--> statement-breakpoint
CREATE INDEX "runs_state" ON "udm_sync"."runs" USING btree ("state","definition","window_to");--> statement-breakpoint
CREATE INDEX "runs_window" ON "udm_sync"."runs" USING btree ("window_from","id");--> statement-breakpoint
CREATE INDEX "runs_unpruned" ON "udm_sync"."runs" USING btree ("finished_at","id") WHERE state in ('done', 'cancelled') and pruned_at is null;