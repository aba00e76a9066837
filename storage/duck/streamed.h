#ifdef __cplusplus
extern "C" {
#endif

// Says which of DuckDB's client contexts the calling thread reads a result of from now on, nil: none; returns what it was before.
void *tilehouseReads(void *context);

#ifdef __cplusplus
}
#endif
