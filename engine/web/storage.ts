// Small texts by name in IndexedDB.

const STORE = "texts";

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("shadenet", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another page of this site uses an older version of the database"));
  });
}

/** Resolves when it is on the disk: what exceeds the site's quota fails after the request itself. */
async function access<T>(mode: IDBTransactionMode, use: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = use(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** The text kept under a name; undefined if there is none, or where the page may keep nothing (a sandboxed frame). */
export async function read(name: string): Promise<string | undefined> {
  if (!globalThis.indexedDB) return undefined;
  try {
    return await access("readonly", (store) => store.get(name));
  } catch (error) {
    if ((error as DOMException).name === "SecurityError") return undefined;
    throw error;
  }
}

/** Throws where the page may keep nothing, or no more. */
export async function update(name: string, change: (before: string | undefined) => string): Promise<void> {
  if (!globalThis.indexedDB) throw new Error("this page has no IndexedDB");
  await access("readwrite", (store) => {
    const request: IDBRequest<string | undefined> = store.get(name);
    request.onsuccess = () => store.put(change(request.result), name);
    return request;
  });
}
