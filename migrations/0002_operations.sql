ALTER TABLE "udm_sync"."files" ADD COLUMN "expiry_raised" text;--> statement-breakpoint
CREATE INDEX "files_verified" ON "udm_sync"."files" USING btree ("verified_at","size") WHERE verified_at is not null;--> statement-breakpoint
CREATE INDEX "files_name" ON "udm_sync"."files" USING btree ("name" text_pattern_ops);--> statement-breakpoint
CREATE INDEX "history_troubles" ON "udm_sync"."history" USING btree ("at") WHERE to_state in ('failed', 'dead', 'lost', 'vanished') or (from_state = 'transferring' and to_state = 'waiting');--> statement-breakpoint
ALTER TABLE "udm_sync"."files" ADD CONSTRAINT "files_expiry_raised" CHECK (expiry_raised in ('warning', 'critical'));
--> statement-breakpoint
COMMENT ON COLUMN "udm_sync"."files"."expiry_raised" IS 'warning or critical: the last level of nearness to expires_at that was told (retention in the config); null for none';
