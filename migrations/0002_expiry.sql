ALTER TABLE "udm_sync"."files" ADD COLUMN "expiry_raised" text;--> statement-breakpoint
ALTER TABLE "udm_sync"."files" ADD CONSTRAINT "files_expiry_raised" CHECK (expiry_raised in ('warning', 'critical'));--> statement-breakpoint
COMMENT ON COLUMN "udm_sync"."files"."expiry_raised" IS 'warning or critical: the last level of nearness to expires_at that was told (retention in the config); null for none';
