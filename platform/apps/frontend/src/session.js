// Who is signed in. What a role may do is decided by the API; here it only hides buttons.

import { computed, reactive } from 'vue'

export const session = reactive({ me: null, expired: false })

export const mayWrite = computed(() => ['developer', 'admin'].includes(session.me?.role))
export const mayAudit = computed(() => session.me?.role === 'admin')
